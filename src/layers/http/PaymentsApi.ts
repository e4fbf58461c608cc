/** Payments, orders and a provider's webhooks, as the HTTP API declares them. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { PaymentRequest } from "../../domain/PaymentRequest.ts"
import { type Status, transitions } from "../../domain/PaymentState.ts"
import { Access } from "./Access.ts"
import * as Problems from "./Problems.ts"

/** A payment as far as it has come. */
const payment = {
  id: Schema.String,
  status: Schema.Literals(Object.keys(transitions) as ReadonlyArray<Status>),
  amount: Schema.String.annotate({ description: "With two places, such as 100.00." }),
  currency: Schema.String,
  paymentMethod: Schema.String,
  orderId: Schema.String.annotate({ description: "The payment's own id where no order was named." }),
  reference: Schema.optionalKey(Schema.String).annotateKey({ description: "The provider's name for the charge." }),
  failure: Schema.optionalKey(Schema.String).annotateKey({ description: "Why it failed, or is undone: a code." }),
  compensationRequired: Schema.optionalKey(Schema.Boolean).annotateKey({
    description: "It waits for an operator: `paystream sagas show`."
  }),
  quarantine: Schema.optionalKey(Schema.String).annotateKey({
    description: "Why nobody takes it up any more until an operator says so: `paystream sagas resume`."
  })
}

/** Something that has happened to a payment. */
const Step = Schema.Struct({
  event: Schema.String,
  at: Schema.String,
  step: Schema.optionalKey(Schema.String).annotateKey({ description: "reserve, charge or confirm" }),
  reason: Schema.optionalKey(Schema.String)
})

/** What is said of a payment that was taken. */
export const PaymentTaken = Schema.Struct(payment)
export type PaymentTaken = typeof PaymentTaken.Type

/** All that is said of a payment. */
export const PaymentHistory = Schema.Struct({
  ...payment,
  createdAt: Schema.String,
  updatedAt: Schema.String,
  history: Schema.Array(Step)
})
export type PaymentHistory = typeof PaymentHistory.Type

/** What may be said with a request for a refund. */
export const RefundRequest = Schema.Struct({
  reason: Schema.optionalKey(
    Schema.String.check(
      Schema.isPattern(/^[a-z][a-z0-9_]{0,63}$/, {
        message: "a code of small letters, digits and _, such as requested_by_customer"
      })
    )
  ),
  // all or nothing: who asks for a part must not be given the whole
  amount: Schema.optionalKey(Schema.Never.annotate({ message: "nothing here: a refund is of the whole amount" }))
})

/** An order that no payment can take any more. */
export const OrderCancelled = Schema.Struct({ orderId: Schema.String, takesPayments: Schema.Boolean })

const keyDescription =
  "1 to 255 visible ASCII characters. The same request sent again under it gets the same answer, and makes no second payment."

const headers = Schema.Struct({
  "idempotency-key": Schema.optionalKey(Schema.String).annotateKey({ description: keyDescription })
})

interface Operation {
  readonly parameters?: ReadonlyArray<{ readonly name: string }>
}

/** The handler itself asks for the header, so as to say why: to the router it is optional, to readers it is not. */
const requiringKey = (operation: Operation): Operation => ({
  ...operation,
  parameters: (operation.parameters ?? []).map((parameter) =>
    parameter.name === "idempotency-key" ? { ...parameter, required: true } : parameter
  )
})

const withOptionalBody = (operation: { readonly requestBody?: object }) => ({
  ...operation,
  requestBody: { ...operation.requestBody, required: false }
})

const bodyProblems = [
  Problems.NotJson,
  Problems.InvalidPayment,
  Problems.RequestTimeout,
  Problems.BodyTooLarge
] as const

const take = HttpApiEndpoint.post("take", "/payments", {
  headers,
  payload: PaymentRequest,
  success: [PaymentHistory.pipe(HttpApiSchema.status(201)), PaymentTaken.pipe(HttpApiSchema.status(202))],
  error: [
    ...bodyProblems,
    Problems.MissingKey,
    Problems.InvalidKey,
    Problems.UnderWay,
    Problems.OtherRequest,
    Problems.InQuarantine,
    Problems.Unavailable
  ]
})
  .annotate(OpenApi.Summary, "Ask for a payment")
  .annotate(
    OpenApi.Description,
    "202: it is stored, and will be processed; `Location` is where to look. 201: it was processed, and this is what came of it: a decline is a payment that has failed. Fields that are not known are ignored."
  )
  .annotate(OpenApi.Transform, requiringKey)

const params = { id: Schema.String.annotate({ description: "As `POST /payments` gave it." }) }

const find = HttpApiEndpoint.get("find", "/payments/:id", {
  params,
  success: PaymentHistory,
  error: [Problems.UnknownPayment, Problems.Unavailable]
})
  .annotate(OpenApi.Summary, "Where a payment stands, and how it came there")
  .annotate(OpenApi.Description, "Every key sees every payment.")

const refund = HttpApiEndpoint.post("refund", "/payments/:id/refund", {
  params,
  payload: RefundRequest,
  success: [PaymentHistory, PaymentHistory.pipe(HttpApiSchema.status(202))],
  error: [...bodyProblems, Problems.UnknownPayment, Problems.NotRefundable, Problems.InQuarantine, Problems.Unavailable]
})
  .annotate(OpenApi.Summary, "Give the money of a payment back")
  .annotate(
    OpenApi.Description,
    "The whole amount, once, however often it is asked for. 202: it is under way; 200: it is done."
  )
  .annotate(OpenApi.Transform, withOptionalBody)

const cancel = HttpApiEndpoint.post("cancel", "/orders/:orderId/cancel", {
  params: { orderId: Schema.String },
  success: OrderCancelled,
  error: [Problems.InvalidPayment, Problems.Unavailable]
})
  .annotate(OpenApi.Summary, "Let no payment take an order any more")
  .annotate(
    OpenApi.Description,
    "A payment that is under way for it is undone, and its money given back; one that has succeeded stays: it can be refunded."
  )

const stripe = HttpApiEndpoint.post("stripe", "/webhooks/stripe", {
  success: Schema.Struct({ received: Schema.Boolean }),
  error: [Problems.InvalidSignature, Problems.RequestTimeout, Problems.BodyTooLarge, Problems.Unavailable]
})
  .annotate(OpenApi.Summary, "What Stripe tells by itself")
  .annotate(OpenApi.Description, "Signed by Stripe (`Stripe-Signature`); no API key is asked for.")

/** Payments and orders, and webhooks where the provider's are taken. */
export const groups = ({ hasWebhooks }: { readonly hasWebhooks: boolean }) => {
  const webhooks = hasWebhooks ? [stripe] : []
  return [
    HttpApiGroup.make("payments").add(take, find, refund).middleware(Access),
    HttpApiGroup.make("orders").add(cancel).middleware(Access),
    HttpApiGroup.make("webhooks").add(...(webhooks as [typeof stripe]))
  ] as const
}
