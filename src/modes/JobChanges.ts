/** `jobs pause`, `resume`, `add` and `remove`: what operators change of jobs; running schedulers take it up. */
import { Clock, Effect, type Option, Result } from "effect"
import type { CatchUp, Overlap } from "../domain/CronJob.ts"
import { following, parse } from "../domain/JobSchedule.ts"
import { shownIn } from "../domain/JobText.ts"
import { JobMistake, problemsOf } from "../streams/JobChecks.ts"
import { definitionOf } from "../streams/JobScheduler.ts"
import * as Answer from "./Answer.ts"
import { declaredIn, unknownJob, withHistory } from "./KeptJobs.ts"
import { WrongUsage } from "./WrongUsage.ts"

/** Pauses a job, or lets it go on. */
export const pause = Effect.fnUntraced(function* (given: {
  readonly name: string
  readonly jobs: Option.Option<string>
  readonly isPaused: boolean
  readonly json: boolean
}) {
  const { jobs } = yield* declaredIn(given.jobs)
  yield* withHistory((history) =>
    Effect.gen(function* () {
      // One that no scheduler has seen yet can rest as well.
      const mine = jobs.filter(({ name }) => name === given.name)
      yield* history.register(mine.map(definitionOf))
      const isKnown = yield* history.pause(given.name, given.isPaused)
      if (!isKnown) return yield* unknownJob(history, given.name)
      const { isPaused, json, name } = given
      yield* Answer.give(json, { name, isPaused }, `${name}: ${isPaused ? "paused" : "resumed"}`)
    })
  )
})

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Adds a job that publishes, or changes it. */
export const add = Effect.fnUntraced(function* (given: {
  readonly name: string
  readonly schedule: string
  readonly timeZone: string
  readonly topic: string
  readonly payload: string
  readonly overlap: Overlap
  readonly catchUp: CatchUp
  readonly json: boolean
}) {
  const { json, payload, topic, ...definition } = given
  const problems = problemsOf(given)
  if (problems.length > 0) return yield* new JobMistake({ problems })
  if (!isJson(payload)) return yield* new WrongUsage({ detail: `--payload takes JSON, got ${JSON.stringify(payload)}` })
  if (topic.trim() === "") return yield* new WrongUsage({ detail: "--publish-topic takes a topic" })
  yield* withHistory((store) => store.add({ ...definition, publishes: { topic, payload } }))
  const { name, timeZone } = given
  const parsed = parse(given.schedule, given.timeZone)
  const now = yield* Clock.currentTimeMillis
  const [next] = Result.isSuccess(parsed) ? following(parsed.success, now, 1) : []
  const text = `${name}: next at ${next === undefined ? "-" : shownIn(timeZone, next)}`
  yield* Answer.give(json, { name, next: Answer.instant(next) }, text)
})

/** Removes a job that was added. */
export const remove = ({ json, name }: { readonly name: string; readonly json: boolean }) =>
  withHistory((store) =>
    Effect.gen(function* () {
      if (!(yield* store.remove(name))) return yield* unknownJob(store, name)
      yield* Answer.give(json, { name, isRemoved: true }, `${name}: removed`)
    })
  )
