/**
 * What a provider tells by itself: read → its signature checked → the payment that it is about is taken on.
 *
 * ## Guarantees
 * - Nothing is believed of a notice but that there is news: the provider is asked what is so. A notice that is sent
 *   again, or late, changes nothing.
 * - 200 is said once the command is committed: before that the provider sends its notice again.
 */
import { Clock, Effect } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { isFinal } from "../../domain/PaymentIntent.ts"
import { processCommand } from "../../domain/PaymentMessages.ts"
import type { ChargeNotice, ChargeNotices } from "../../domain/ports/ChargeNotices.ts"
import { type Payment, PaymentIntents } from "../../domain/ports/PaymentIntents.ts"
import { sha256Hex } from "../../streams/Digests.ts"
import { PaymentOutlet } from "../../streams/PaymentOutlet.ts"
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

/** Money that went back at the provider, by somebody's hand, is nobody's refund here: the books say otherwise until then. */
const tellRefunded = ({ id, state }: Payment, { status }: ChargeNotice) =>
  state.status === "succeeded" && status._tag === "Refunded"
    ? Effect.annotateLogs(
        Effect.logWarning(
          "the provider has given the money of a payment back that counts as succeeded: ask for its refund as well"
        ),
        { paymentId: id }
      )
    : Effect.void

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
    const payment = yield* work.asked(PaymentIntents.use((intents) => intents.findByReference(notice.reference)))
    if (payment === undefined) return received
    yield* tellRefunded(payment, notice)
    if (isFinal(payment.state)) return received
    if (work.hasCommands) yield* work.asked(tell(payment, body))
    else yield* work.processed(payment.id)
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
    notices === undefined ? (handlers as never) : handlers.handleRaw("stripe", make(options, work, notices))
  )
