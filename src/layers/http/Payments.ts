/**
 * Payments over HTTP: read → decoded → claimed under its key → stored, with the command that processes it → answered.
 *
 * ## Guarantees
 * - 202 is said of what is committed, 201 of what has come to its end; anything else within a bounded time.
 * - One payment for each key of a client, while the payment is kept: also after a crash between storing and answering,
 *   and where the keys' own store is away, has lost them, or knows the key as another request's.
 */
import { Effect, Layer, Schema } from "effect"
import type { HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { fingerprintOf, OrderId, type PaymentRequest, requestedBy } from "../../domain/PaymentRequest.ts"
import { requested } from "../../domain/PaymentState.ts"
import type { PaymentIntents } from "../../domain/ports/PaymentIntents.ts"
import { Reservations } from "../../domain/ports/Reservations.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { isUuid } from "../../domain/Uuid.ts"
import { changeStored } from "../../streams/PaymentChanges.ts"
import type { PaymentOutlet } from "../../streams/PaymentOutlet.ts"
import * as PaymentRequests from "../../streams/PaymentRequests.ts"
import { Client } from "./Access.ts"
import { inCallersTrace } from "./CallersTrace.ts"
import * as Idempotency from "./Idempotency.ts"
import * as PaymentBody from "./PaymentBody.ts"
import * as PaymentView from "./PaymentView.ts"
import { answer, type PaymentOptions, type PaymentWork } from "./PaymentWork.ts"
import type { Api } from "./PaystreamApi.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"

type Request = { readonly request: HttpServerRequest.HttpServerRequest }
type OfPayment = { readonly params: { readonly id: string } }

const isOrderId = Schema.is(OrderId)

type Taking = Effect.Effect<PaymentRequests.Taken, StoreError, PaymentIntents | PaymentOutlet>

/** Without the keys' own store the payment itself is what a second request finds. */
const taken = Effect.fnUntraced(function* (work: PaymentWork, request: PaymentRequest, taking: Taking) {
  const found = yield* work.asked(taking)
  if (found._tag === "OtherRequest") return yield* new Problems.OtherRequest()
  const { id, isNew } = found
  const response = work.hasCommands
    ? answer(202, PaymentView.taken(id, requested(requestedBy(id, request))))
    : yield* work.shown(id, 201, isNew)
  return isNew ? response : Idempotency.replayed(response)
})

const missingKey = { detail: "the header Idempotency-Key, another one for each payment" }

const take = (options: PaymentOptions, work: PaymentWork) => {
  const read = RequestBody.reader(options)
  return Effect.fnUntraced(function* ({ request }: Request) {
    const body = yield* read(request)
    const key = yield* Idempotency.keyOf(request.headers)
    if (key === undefined) return yield* new Problems.MissingKey(missingKey)
    const payment = yield* Effect.fromResult(PaymentBody.decode(body))
    const { name } = yield* Client
    const context = yield* Effect.context<PaymentIntents | PaymentOutlet>()
    const answered = (taking: Taking) =>
      taken(work, payment, taking).pipe(
        Effect.catch((problem) => Problems.toResponse(problem)),
        Effect.provideContext(context)
      )
    const asked = { client: name, key, request: payment }
    const stored = answered(PaymentRequests.take(asked, { sendsCommand: work.hasCommands }))
    const claim = { scope: `${name} /payments`, key, fingerprint: fingerprintOf(payment) }
    // Where keys were lost, another request may have been the first to come by: the payment tells whose the key is.
    const ofOther = answered(PaymentRequests.find(asked))
    return yield* work.underKey(claim, stored, { withoutKeys: stored, ofOther })
  })
}

const find = (work: PaymentWork) =>
  Effect.fnUntraced(function* ({ params: { id } }: OfPayment) {
    // A database refuses some texts: of what no payment has for its id, it is not asked.
    const payment = isUuid(id) ? yield* work.history(id) : undefined
    return payment ?? (yield* new Problems.UnknownPayment())
  })

const refund = (options: PaymentOptions, work: PaymentWork) => {
  const read = RequestBody.reader(options)
  return Effect.fnUntraced(function* ({ params: { id }, request }: OfPayment & Request) {
    const reason = yield* Effect.fromResult(PaymentBody.decodeRefund(yield* read(request)))
    if (!isUuid(id)) return yield* new Problems.UnknownPayment()
    const commandId = work.hasCommands ? `refund/${id}` : undefined
    const changed = yield* work.asked(changeStored(id, { _tag: "Refund", reason }, { commandId })).pipe(
      Effect.catchTag("IllegalTransition", ({ status }) => {
        const detail = `it is ${status}: only a payment that has succeeded can be refunded`
        return Effect.fail(new Problems.NotRefundable({ detail }))
      })
    )
    if (changed === undefined) return yield* new Problems.UnknownPayment()
    // Whether it was asked for before is not known: so it counts as if it was.
    return yield* work.shown(id, 200, false)
  })
}

const cancel = (work: PaymentWork) =>
  Effect.fnUntraced(function* ({ params: { orderId } }: { readonly params: { readonly orderId: string } }) {
    if (!isOrderId(orderId)) {
      const errors = [{ path: ["orderId"], message: "Expected the id of an order" }]
      return yield* new Problems.InvalidPayment({ detail: "1 to mend", errors })
    }
    yield* work.asked(Reservations.use((orders) => orders.cancel(orderId)))
    return { orderId, takesPayments: false }
  })

/** The handlers of payments and orders. */
export const layer = (api: Api, options: PaymentOptions, work: PaymentWork) =>
  Layer.merge(
    HttpApiBuilder.group(api, "payments", (handlers) =>
      handlers
        .handleRaw("take", inCallersTrace(take(options, work)))
        .handle("find", find(work))
        .handleRaw("refund", inCallersTrace(refund(options, work)))
    ),
    HttpApiBuilder.group(api, "orders", (handlers) => handlers.handle("cancel", cancel(work)))
  )
