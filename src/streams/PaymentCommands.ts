/**
 * The worker that takes `ProcessPayment` commands from their queue.
 *
 * ## Guarantees
 * - A command is acknowledged when its payment has ended, or waits for what the sweep looks after.
 * - A command that is repeated does nothing: its id is looked up first, and the payment itself decides where that is lost
 *   or away.
 * - Where the provider does not let us in, the command waits without using up an attempt, and its payment stays as it is.
 * - A command that kills its process is set aside; its payment says so, and is given up by the sweep if it does not get on.
 * - A command that is dead says why, and what has happened to its payment; the payment is given up then.
 */
import { Duration, Effect, Result, Schedule, Schema } from "effect"
import { historyInWords } from "../domain/PaymentHistory.ts"
import { commandTopic, ProcessPayment, versionHeader } from "../domain/PaymentMessages.ts"
import type { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import type { GatewayError } from "../domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type * as RetryPolicy from "../domain/RetryPolicy.ts"
import { StoreError } from "../domain/StoreError.ts"
import { GatewayAccess } from "./GatewayAccess.ts"
import { once } from "./Once.ts"
import { changeStored } from "./PaymentChanges.ts"
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
    {
      ...versionHeader,
      topic: commandTopic,
      concurrency: options.concurrency,
      retry: options.retry,
      input: ProcessPayment
    },
    Effect.succeed({
      process: (command: ProcessPayment) => handled(command, options),
      // Its letter is confirmed by now: a crash before this line handles the command again, and it is dead again.
      onError: ({ paymentId }: ProcessPayment, error: unknown) =>
        error instanceof PaymentFailing ? givenUp(paymentId, options) : Effect.void,
      onCrashed: ({ paymentId }: ProcessPayment, crashes) => setAside(paymentId, crashes)
    })
  )

const untilStored = Schedule.spaced("1 second")

/** Whoever is at the payment now (the sweep may be) is not waited for: the sweep gives it up when it is nobody's. */
const givenUp = (paymentId: string, options: ProcessOptions) =>
  giveUp(paymentId, options).pipe(
    Effect.flatMap(({ _tag }) => (_tag === "Held" ? notTaken(paymentId, "its retries are used up") : Effect.void)),
    Effect.retry({ while: isStoreAway, schedule: untilStored }),
    Effect.catchTag("GatewayError", (error) => GatewayAccess.use(({ refused }) => refused(error)))
  )

const notTaken = (paymentId: string, reason: string) =>
  Effect.asVoid(changeStored(paymentId, { _tag: "SetAside", reason }))

/** Only written down: what has killed the process is not tried here. The sweep gives the payment up that does not get on. */
const setAside = Effect.fnUntraced(function* (paymentId: string, crashes: number) {
  const reason = `its process died ${crashes} times`
  yield* Effect.annotateLogs(Effect.logError("the command of a payment was set aside"), { paymentId, reason })
  yield* notTaken(paymentId, reason)
})

const handled = Effect.fnUntraced(
  function* (command: ProcessPayment, options: PaymentCommandOptions) {
    const processed = yield* unlessDone(command, options, processPayment(command.paymentId, options))
    if (processed?._tag === "Held") return yield* Worker.snooze(whileHeld)
    if (processed?._tag === "Unknown") return yield* Worker.reject(`there is no payment ${command.paymentId}`)
  },
  (handling, _, { retry }) =>
    handling.pipe(
      Effect.catchTags({ StepAway: (error) => failing(error, retry), GatewayError: notLetIn }),
      Effect.catchIf(isStoreAway, () => Worker.snooze(whileAway))
    )
)

const notLetIn = (error: GatewayError) =>
  Effect.andThen(
    GatewayAccess.use(({ refused }) => refused(error)),
    Worker.snooze(whileAway)
  )

const isStoreAway = (error: unknown): error is StoreError => error instanceof StoreError && error.isRetryable

/** Waits as the provider asks, without using up an attempt; otherwise as the policy says. */
const failing = Effect.fnUntraced(function* (step: StepAway, { maxRetries }: RetryPolicy.RetryPolicy) {
  // The history tells of nothing that has not happened: why the payment waits is told here.
  yield* Effect.annotateLogs(Effect.logInfo(step.message), { paymentId: step.paymentId, step: step.step })
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
