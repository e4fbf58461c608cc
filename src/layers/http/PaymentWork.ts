/** What is done for a request about a payment: asking the database, and taking the payment on where no command does. */
import { Duration, Effect, Exit, Fiber, Option } from "effect"
import { HttpServerResponse } from "effect/http"
import { isFinal } from "../../domain/PaymentState.ts"
import type { GatewayError } from "../../domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../domain/ports/PaymentIntents.ts"
import { StoreError } from "../../domain/StoreError.ts"
import { within } from "../../streams/Within.ts"
import * as Idempotency from "./Idempotency.ts"
import type { PaymentTaken } from "./PaymentsApi.ts"
import * as PaymentView from "./PaymentView.ts"
import * as Problems from "./Problems.ts"
import type * as RequestBody from "./RequestBody.ts"

export interface PaymentOptions extends RequestBody.BodyLimits {
  /** The longest wait for the database. */
  readonly publishTimeout: Duration.Duration
  /** The longest wait for a payment that is processed while its client waits. */
  readonly paymentTimeout: Duration.Duration
  readonly keyRetention: Duration.Duration
}

/**
 * Takes a payment as far as it goes now, and fails where the provider does not let us in; `undefined` where commands do
 * that, in whichever process has them.
 */
export type ProcessPayment =
  | ((id: string, options: { readonly isNew: boolean }) => Effect.Effect<void, GatewayError>)
  | undefined

const unavailable = () => Effect.fail(new Problems.Unavailable({ detail: "the database cannot be reached now" }))

const notLetIn = { detail: "the payment provider cannot be used now; the payment is kept, and waits" }

const quarantined = ({ id, quarantine }: PaymentTaken): string =>
  `${quarantine}; the payment ${id} is kept, and waits for an operator: \`paystream sagas resume ${id}\``

/** What is asked of the database, within its time; what it will never do is told in the log. */
const limited =
  (longest: Duration.Duration) =>
  <A, E, R>(effect: Effect.Effect<A, E | StoreError, R>) =>
    effect.pipe(
      Effect.catch(
        (error): Effect.Effect<never, Exclude<E, StoreError> | Problems.Unavailable> =>
          error instanceof StoreError
            ? Effect.andThen(
                error.isRetryable ? Effect.logDebug(error.message) : Effect.logError(error.message),
                unavailable()
              )
            : Effect.fail(error as Exclude<E, StoreError>)
      ),
      within(longest, unavailable)
    )

/** The tables, made or checked before the first request that gets through to the database. */
const preparing = () => {
  let isPrepared = false
  const prepare = Effect.tap(
    PaymentIntents.use((intents) => intents.prepare),
    () =>
      Effect.sync(() => {
        isPrepared = true
      })
  )
  return Effect.suspend(() => (isPrepared ? Effect.void : prepare))
}

/** A payment as an answer, and where to look at it. */
export const answer = (status: 200 | 201 | 202, payment: PaymentTaken): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(payment, { status, headers: { location: `/payments/${payment.id}` } })

/** For all requests of a process. */
export const make = (options: PaymentOptions, process: ProcessPayment, surroundings: Idempotency.Surroundings) => {
  const { paymentTimeout, publishTimeout } = options
  const inTime = limited(publishTimeout)
  const prepared = preparing()
  const asked = <A, E, R>(effect: Effect.Effect<A, E | StoreError, R>) => inTime(Effect.andThen(prepared, effect))

  /** Stored, processed where that is done here, and looked at. */
  const longestWork = Duration.sum(
    Duration.times(publishTimeout, 2),
    process === undefined ? Duration.zero : paymentTimeout
  )

  const history = (id: string) =>
    Effect.map(asked(PaymentIntents.use((intents) => intents.history(id))), (steps) => PaymentView.ofHistory(id, steps))

  /** What takes longer than somebody waits goes on without them. */
  const processed = Effect.fnUntraced(function* (id: string, isNew: boolean) {
    if (process === undefined) return
    const fiber = yield* Effect.forkIn(process(id, { isNew }), surroundings.scope)
    const exit = yield* Effect.timeoutOption(Fiber.await(fiber), paymentTimeout)
    if (Option.exists(exit, Exit.isFailure)) return yield* new Problems.Unavailable(notLetIn)
  })

  return {
    asked,
    history,
    processed,
    hasCommands: process === undefined,
    underKey: Idempotency.make({ ...options, longestWork }, surroundings),
    /** A payment that is stored, once it was processed: as far as it came. */
    shown: Effect.fnUntraced(function* (id: string, whenEnded: 200 | 201, isNew: boolean) {
      yield* processed(id, isNew)
      const payment = yield* history(id)
      if (payment === undefined) return yield* new Problems.UnknownPayment()
      if (payment.quarantine !== undefined) return yield* new Problems.InQuarantine({ detail: quarantined(payment) })
      return answer(isFinal(payment) ? whenEnded : 202, payment)
    })
  }
}
export type PaymentWork = ReturnType<typeof make>
