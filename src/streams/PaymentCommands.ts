/**
 * The worker that takes `ProcessPayment` commands from their queue.
 *
 * ## Guarantees
 * - A command is acknowledged when its payment has ended, or waits for what the sweep looks after.
 * - A command that is repeated does nothing: its id is looked up first, and the payment itself decides where that is lost
 *   or away.
 * - A command that is dead says why, and what has happened to its payment; the payment is given up then.
 */
import { Duration, Effect, Result, Schedule, Schema } from "effect"
import { historyInWords } from "../domain/PaymentHistory.ts"
import { commandTopic, ProcessPayment } from "../domain/PaymentMessages.ts"
import type { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type * as RetryPolicy from "../domain/RetryPolicy.ts"
import { StoreError } from "../domain/StoreError.ts"
import { once } from "./Once.ts"
import { giveUp, type Processed, type ProcessOptions, processPayment } from "./PaymentProcessor.ts"
import { StepAway } from "./PaymentSteps.ts"
import * as Worker from "./Worker.ts"

export interface PaymentCommandOptions extends ProcessOptions {
  /** Payments at the same time. */
  readonly concurrency: number
  /** For steps that cannot be done now; none: the first failure is dead. */
  readonly retry: RetryPolicy.RetryPolicy
}

/** A step that failed, with all that has happened to its payment: what a dead letter says. */
class PaymentFailing extends Schema.TaggedError<PaymentFailing>()("PaymentFailing", {
  step: StepAway,
  history: Schema.String
}) {
  override get message(): string {
    return `${this.step.message}; so far: ${this.history}`
  }
}

/** A database that is away, or a payment that somebody else is at, blames no command: it uses up no attempt. */
const whileAway = "5 seconds"
const whileHeld = "2 seconds"

/** No provider is waited for longer than that at a time. */
const longestRetryAfter = Duration.hours(1)

/** A repeat comes within minutes, or from a dead-letter queue: then the payment itself tells that it is one. */
const keyRetention = Duration.days(1)

/** The worker; its queue is the commands' own. */
export const paymentCommands = (options: PaymentCommandOptions) =>
  Worker.make(
    "payment-commands",
    { topic: commandTopic, concurrency: options.concurrency, retry: options.retry, input: ProcessPayment },
    Effect.succeed({
      process: (command: ProcessPayment) => handled(command, options),
      // Its letter is confirmed by now: a crash before this line handles the command again, and it is dead again.
      onError: ({ paymentId }: ProcessPayment, error: unknown) =>
        error instanceof PaymentFailing ? givenUp(paymentId, options) : Effect.void
    })
  )

/** Longer than a processor is at one payment; what is held for longer the sweep gives up some day. */
const untilFree = Schedule.max([Schedule.spaced("1 second"), Schedule.recurs(120)])

/** Whoever is at the payment now (the sweep may be) does not know that its command is dead. */
const givenUp = (paymentId: string, options: ProcessOptions) =>
  Effect.repeat(giveUp(paymentId, options), { while: ({ _tag }) => _tag === "Held", schedule: untilFree })

const handled = Effect.fnUntraced(
  function* (command: ProcessPayment, options: PaymentCommandOptions) {
    const processed = yield* unlessDone(command, options, processPayment(command.paymentId, options))
    if (processed?._tag === "Held") return yield* Worker.snooze(whileHeld)
    if (processed?._tag === "Unknown") return yield* Worker.reject(`there is no payment ${command.paymentId}`)
  },
  (handling, _, { retry }) =>
    handling.pipe(
      Effect.catchTag("StepAway", (error) => failing(error, retry)),
      Effect.catchIf(isStoreAway, () => Worker.snooze(whileAway))
    )
)

const isStoreAway = (error: unknown): error is StoreError => error instanceof StoreError && error.isRetryable

/** Waits as the provider asks, without using up an attempt; otherwise as the policy says. */
const failing = Effect.fnUntraced(function* (step: StepAway, { maxRetries }: RetryPolicy.RetryPolicy) {
  // The sweep asks again, for as long as it takes.
  if (step.step === "doubt") return
  if (step.retryAfter !== undefined && maxRetries > 0) {
    return yield* Worker.snooze(Duration.min(step.retryAfter, longestRetryAfter))
  }
  const history = yield* PaymentIntents.use((intents) => intents.history(step.paymentId))
  return yield* new PaymentFailing({ step, history: historyInWords(history) })
})

/**
 * The first look: a command that was done is not done again (`undefined`). Where the keys are away or lost nothing is
 * known of it, and the payment's own record decides: no payment is stopped, and none charged twice.
 */
const unlessDone = Effect.fnUntraced(function* <E, R>(
  { commandId, paymentId }: ProcessPayment,
  { lease }: ProcessOptions,
  work: Effect.Effect<Processed, E, R>
): Effect.fn.Return<Processed | undefined, E | Worker.Snooze | Worker.Reject, R | IdempotencyKeys> {
  let result: Result.Result<Processed, E> | undefined
  const run = Effect.map(Effect.result(work), (ended) => {
    result = ended
    return { answer: "ended", isFinal: Result.isSuccess(ended) && ended.success._tag === "Ended" }
  })
  const request = { scope: commandTopic, key: commandId, fingerprint: paymentId, lease, retention: keyRetention }
  const looked = yield* Effect.result(once(request, run))
  if (Result.isFailure(looked)) {
    yield* Effect.logDebug(`a command is not looked up: ${looked.failure.message}`)
    return yield* work
  }
  const found = looked.success
  if (found._tag === "UnderWay") return yield* Worker.snooze(whileHeld)
  if (found._tag === "OtherRequest") return yield* Worker.reject(`command ${commandId} was for another payment`)
  return result && (yield* Effect.fromResult(result))
})
