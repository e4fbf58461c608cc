/**
 * What a provider tells by itself: read → its signature checked → the payment that it is about is taken on.
 *
 * ## Guarantees
 * - Nothing is believed of a notice but that there is news: the provider is asked what is so. A notice that is sent
 *   again, or late, changes nothing.
 * - A refund that came to nothing weeks after it was said to be done is looked at once more, and an operator is told.
 * - 200 is said once the command is committed: before that the provider sends its notice again.
 */
import { Clock, Effect } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { processCommand } from "../../domain/PaymentMessages.ts"
import { isFinal } from "../../domain/PaymentState.ts"
import type { ChargeNotice, ChargeNotices } from "../../domain/ports/ChargeNotices.ts"
import { type Payment, PaymentIntents } from "../../domain/ports/PaymentIntents.ts"
import { sha256Hex } from "../../streams/Digests.ts"
import { changeStored } from "../../streams/PaymentChanges.ts"
import { PaymentOutlet } from "../../streams/PaymentOutlet.ts"
import { inCallersTrace } from "./CallersTrace.ts"
import type { PaymentOptions, PaymentWork } from "./PaymentWork.ts"
import type { Api } from "./PaystreamApi.ts"
import * as Problems from "./Problems.ts"
import * as RequestBody from "./RequestBody.ts"

const received = HttpServerResponse.jsonUnsafe({ received: true })

/** Asks for the payment to be taken on. The same notice makes the same command. */
const tell = Effect.fnUntraced(function* (payment: Payment, notice: Uint8Array) {
  const outlet = yield* PaymentOutlet
  const commandId = `webhook/${yield* sha256Hex(notice)}`
  const command = processCommand(payment, commandId, yield* Clock.currentTimeMillis)
  yield* outlet.commit(Effect.succeed({ value: undefined, events: [command] }))
})

const warn = (message: string, { id }: Payment) => Effect.annotateLogs(Effect.logWarning(message), { paymentId: id })

/** What is done by hand at the provider is nobody's refund here: the books say otherwise until somebody mends them. */
const tellByHand = (payment: Payment, notice: ChargeNotice) => {
  const { status } = payment.state
  if (notice._tag === "Charge" && notice.status._tag === "Refunded" && status === "succeeded") {
    return warn(
      "the provider has given the money of a payment back that counts as succeeded: ask for its refund as well",
      payment
    )
  }
  if (notice._tag === "Refund" && notice.isFailed && status === "failed") {
    return warn(
      "a refund came to nothing at the provider, of a payment that counts as failed: give its money back there",
      payment
    )
  }
  return Effect.void
}

/** A refund that came to nothing after it was said to be done makes its payment one that is undone again. */
const doubted = Effect.fnUntraced(function* (payment: Payment, notice: ChargeNotice) {
  if (notice._tag !== "Refund" || !notice.isFailed) return payment
  const command = { _tag: "DoubtRefund", refund: notice.refund } as const
  // Whatever the payment's state is, it takes this command.
  return (yield* Effect.catchTag(changeStored(payment.id, command), "IllegalTransition", Effect.die)) ?? payment
})

/** Takes what is signed; a payment that has ended, or is not ours, is no matter of it. */
const make = (options: PaymentOptions, work: PaymentWork, notices: ChargeNotices["Service"]) => {
  const read = RequestBody.reader(options)
  return Effect.fnUntraced(function* ({ request }: { readonly request: HttpServerRequest.HttpServerRequest }) {
    const body = yield* read(request)
    const notice = yield* Effect.mapError(
      notices.read(body, request.headers["stripe-signature"]),
      ({ detail }) => new Problems.InvalidSignature({ detail })
    )
    if (notice === undefined) return received
    const found = yield* work.asked(PaymentIntents.use((intents) => intents.findByReference(notice.reference)))
    if (found === undefined) return received
    yield* tellByHand(found, notice)
    const payment = yield* work.asked(doubted(found, notice))
    if (isFinal(payment.state)) return received
    if (work.hasCommands) yield* work.asked(tell(payment, body))
    else yield* work.processed(payment.id, false)
    return received
  })
}

/** The handlers; none where no notices are taken. */
export const layer = (
  api: Api,
  options: PaymentOptions,
  work: PaymentWork,
  notices: ChargeNotices["Service"] | undefined
) =>
  HttpApiBuilder.group(api, "webhooks", (handlers) =>
    notices === undefined
      ? (handlers as never)
      : handlers.handleRaw("stripe", inCallersTrace(make(options, work, notices)))
  )
