/**
 * A job as its author declares it: what it does, and when.
 *
 * A run that fails, or dies of a defect, is tried again by `retry`, and never ends the scheduler or another job. What a
 * job succeeds with is kept as JSON in the history. A job may be run a second time for the same occurrence, if the process
 * that ran it died: then its attempt is above 1, and its fencing token larger than before.
 */
import { Context, Duration, type Effect, Predicate } from "effect"
import type { CatchUp, Overlap } from "../domain/CronJob.ts"
import { finiteDuration, shownDuration } from "../domain/FiniteDuration.ts"
import type { HeldRun } from "../domain/JobRun.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"

export interface JobOptions<in A = unknown> {
  /** Five or six fields, a word such as `@daily`, or `@every 90s`. */
  readonly schedule: string
  /** Whose clocks the fields are about; UTC by default. */
  readonly timeZone?: string | undefined
  /** The longest that an attempt may take: it is interrupted then. `WORKER_DEFAULT_TIMEOUT_SECONDS` by default. */
  readonly timeout?: Duration.Input | undefined
  /** None by default. */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /** What happens to an occurrence while the run before it goes on; "skip" by default. */
  readonly overlap?: Overlap | undefined
  /** Which of the occurrences run that were missed while nothing ran; "latest" by default. */
  readonly catchUp?: CatchUp | undefined
  /** How what it gave is shown to people, by `runjob --print`; as JSON by default. */
  readonly print?: ((result: A) => string) | undefined
}

const TypeId = "~paystream/streams/Job"

/** A declared job. `R` is what it needs where it is run. */
export interface Job<out R = never> {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly schedule: string
  readonly timeZone: string
  /** `undefined`: as the process is told. */
  readonly timeout: Duration.Duration | undefined
  readonly retry: RetryPolicy.RetryPolicy
  readonly overlap: Overlap
  readonly catchUp: CatchUp
  /** Of what the history has kept. */
  readonly print: ((result: unknown) => string) | undefined
  readonly run: Effect.Effect<unknown, unknown, R>
}

/** Any job, whatever it needs. */
// biome-ignore lint/suspicious/noExplicitAny: a list of jobs holds jobs of every kind
export type Any<R = any> = Job<R>

/** What a job needs where it is run. */
export type Services<J> = J extends Job<infer R> ? R : never

/** Whether a value is a declared job. */
export const isJob = (value: unknown): value is Any => Predicate.hasProperty(value, TypeId)

/** The run that a job is in: which occurrence, which attempt, and a token that grows with each who holds it. */
export const CurrentRun = Context.Reference<HeldRun | undefined>("paystream/streams/Job/CurrentRun", {
  defaultValue: () => undefined
})

const timeoutOf = (timeout: Duration.Input): Duration.Duration => {
  const duration = finiteDuration(timeout)
  if (duration !== undefined && Duration.isPositive(duration)) return duration
  throw new RangeError(`Job.make: timeout takes a finite duration above 0, got ${shownDuration(timeout)}`)
}

/** Declares a job. Its schedule is checked before any job runs. */
export const make = <A, E, R>(name: string, options: JobOptions<NoInfer<A>>, run: Effect.Effect<A, E, R>): Job<R> => ({
  [TypeId]: TypeId,
  name,
  schedule: options.schedule,
  timeZone: options.timeZone ?? "UTC",
  timeout: options.timeout === undefined ? undefined : timeoutOf(options.timeout),
  retry: options.retry ?? RetryPolicy.none,
  overlap: options.overlap ?? "skip",
  catchUp: options.catchUp ?? "latest",
  print: options.print as ((result: unknown) => string) | undefined,
  run
})
