/** What is wrong with the declaration of jobs, all of it at once, before any of them runs. */
import { Array as Arr, Effect, Result, Schema } from "effect"
import { parse } from "../domain/JobSchedule.ts"
import type { Any } from "./Job.ts"

/** Jobs that cannot run as they are declared. */
export class JobMistake extends Schema.TaggedError<JobMistake>()("JobMistake", {
  problems: Schema.Array(Schema.String)
}) {
  readonly isRetryable = false
  override get message(): string {
    return ["The jobs cannot run as they are declared:", ...this.problems.map((one) => `  ${one}`)].join("\n")
  }
}

/** A name is part of ids, which brokers give 255 bytes. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

const nameTakes = "letters, digits, _, . and -, beginning with a letter or a digit, at most 64"

/** What is wrong with a name, a schedule and a time zone. */
export const problemsOf = ({ name, schedule, timeZone }: Pick<Any, "name" | "schedule" | "timeZone">) => {
  const parsed = parse(schedule, timeZone)
  const problems = [
    ...(namePattern.test(name) ? [] : [`its name takes ${nameTakes}`]),
    ...(Result.isFailure(parsed) ? [parsed.failure.message] : [])
  ]
  return problems.map((problem) => `job ${name}: ${problem}`)
}

/** Fails with all that is wrong. */
export const check = (jobs: ReadonlyArray<Any>): Effect.Effect<void, JobMistake> => {
  const twice = Object.entries(Arr.groupBy(jobs, ({ name }) => name)).flatMap(([name, same]) =>
    same.length === 1 ? [] : [`job ${name}: there are ${same.length} of that name`]
  )
  const problems = [...jobs.flatMap(problemsOf), ...twice]
  return problems.length === 0 ? Effect.void : Effect.fail(new JobMistake({ problems }))
}
