/** How often a failed handler is tried again, and how long each wait is. Pure: jitter takes its random number from outside. */
import { Duration } from "effect"
import { dual } from "effect/Function"
import { type Pipeable, Prototype } from "effect/Pipeable"
import { finiteDuration, shownDuration } from "./FiniteDuration.ts"

/** Waits grow as the kind says, from `initialDelay`, never above `maxDelay`; `maxRetries` of 0 never tries again. */
export interface RetryPolicy extends Pipeable {
  readonly kind: "exponential" | "linear" | "fixed"
  readonly maxRetries: number
  readonly initialDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  /** Spreads a wait over this share of it, to both sides: 0 (none) to 1. */
  readonly jitter: number
}

export interface RetryPolicyOptions {
  readonly maxRetries?: number | undefined
  readonly initialDelay?: Duration.Input | undefined
  readonly maxDelay?: Duration.Input | undefined
  readonly jitter?: number | undefined
}

const make =
  (kind: RetryPolicy["kind"], initialDelay: Duration.Input) =>
  (options: RetryPolicyOptions = {}): RetryPolicy =>
    Object.assign(Object.create(Prototype) as Pipeable, {
      kind,
      maxRetries: wholeNumber("maxRetries", options.maxRetries ?? 3),
      initialDelay: delayOf("initialDelay", options.initialDelay ?? initialDelay),
      maxDelay: delayOf("maxDelay", options.maxDelay ?? "1 hour"),
      jitter: share("jitter", options.jitter ?? 0)
    })

// A policy is written in code: a wrong one is a mistake of its author's, told where it is made.
const refuse = (name: string, got: unknown, takes: string): never => {
  throw new RangeError(`RetryPolicy: ${name} takes ${takes}, got ${String(got)}`)
}

const wholeNumber = (name: string, value: number): number =>
  Number.isSafeInteger(value) && value >= 0 ? value : refuse(name, value, "a whole number from 0")

const share = (name: string, value: number): number =>
  value >= 0 && value <= 1 ? value : refuse(name, value, "a number from 0 to 1")

const delayOf = (name: string, input: Duration.Input): Duration.Duration => {
  const delay = finiteDuration(input)
  if (delay !== undefined && !Duration.isNegative(delay)) return delay
  return refuse(name, shownDuration(input), "a finite duration, 0 or longer")
}

/** Waits 1, 2, 4, 8 … s unless told otherwise. */
export const exponential = make("exponential", "1 second")

/** Waits 1, 2, 3 … s unless told otherwise. */
export const linear = make("linear", "1 second")

/** Waits 5, 5, 5 … s unless told otherwise. */
export const fixed = make("fixed", "5 seconds")

/** No retry: the first failure is the last. */
export const none: RetryPolicy = fixed({ maxRetries: 0 })

const factorOf = (kind: RetryPolicy["kind"], attempt: number): number => {
  switch (kind) {
    case "exponential":
      return 2 ** (attempt - 1)
    case "linear":
      return attempt
    case "fixed":
      return 1
  }
}

/** The wait before retry number `attempt`, counted from 1; never above `maxDelay`. */
export const delay: {
  (attempt: number): (policy: RetryPolicy) => Duration.Duration
  (policy: RetryPolicy, attempt: number): Duration.Duration
} = dual(2, (policy: RetryPolicy, attempt: number): Duration.Duration => {
  const maxMillis = Duration.toMillis(policy.maxDelay)
  const millis = Duration.toMillis(policy.initialDelay) * factorOf(policy.kind, attempt)
  return Duration.millis(Math.min(maxMillis, millis))
})

/** The same with jitter; `random` is from 0 to before 1. Never above `maxDelay` either. */
export const jitteredDelay = (policy: RetryPolicy, attempt: number, random: number): Duration.Duration => {
  const millis = Duration.toMillis(delay(policy, attempt)) * (1 + policy.jitter * (2 * random - 1))
  return Duration.millis(Math.min(Duration.toMillis(policy.maxDelay), millis))
}

/** Whether a delivery that failed is tried again: `attempt` is the number of the try that failed, from 1. */
export const mayRetry = (policy: RetryPolicy, attempt: number): boolean => attempt <= policy.maxRetries
