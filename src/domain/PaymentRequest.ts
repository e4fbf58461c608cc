/** A payment as a client asks for it. Fields that are not known are let through, change nothing and are not kept. */
import { Effect, Schema } from "effect"
import * as Money from "./Money.ts"
import { OutsideId } from "./OutsideId.ts"
import type { PaymentEvent } from "./PaymentEvent.ts"
import type { PaymentState } from "./PaymentState.ts"

/** Currencies whose amounts are not written with two places (ISO 4217): 100.00 of them is no amount. */
const otherPlaces = new Set(
  (
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF " + "BHD IQD JOD KWD LYD OMR TND CLF UYW"
  ).split(" ")
)

const Currency = Money.Currency.check(
  Schema.makeFilter((currency: string) => !otherPlaces.has(currency), {
    message: "a currency whose amounts are written with two places, such as BRL"
  })
)

/** A provider's token begins with a letter, and a card number does not: that has no business here. */
const PaymentMethod = Schema.String.check(
  Schema.isPattern(/^[A-Za-z][A-Za-z0-9._:-]{0,254}$/, {
    message: "the provider's token for a payment method, such as pm_card_visa; never a card number"
  })
)

/** What is paid, as who asks calls it. */
export const OrderId = OutsideId

/** `amount` is in minor units. */
export const PaymentRequest = Schema.Struct({
  amount: Money.Amount,
  currency: Currency.pipe(Schema.withDecodingDefaultKey(Effect.succeed(Money.defaultCurrency))),
  paymentMethod: PaymentMethod,
  orderId: Schema.optionalKey(OrderId)
})
export type PaymentRequest = typeof PaymentRequest.Type

/** The same text for the same request, however its JSON is written; another for any other. */
export const fingerprintOf = ({ amount, currency, orderId, paymentMethod }: PaymentRequest): string =>
  JSON.stringify([Money.textOf(amount), currency, paymentMethod, orderId ?? null])

/** The beginning of the payment `id`, which pays for itself where no order is named. */
export const requestedBy = (
  id: string,
  { amount, currency, orderId = id, paymentMethod }: PaymentRequest
): Extract<PaymentEvent, { readonly _tag: "Requested" }> => ({
  _tag: "Requested",
  amount,
  currency,
  paymentMethod,
  orderId
})

/** Whether the payment `id` is the one that is asked for. */
export const isAskedForBy = (
  request: PaymentRequest,
  id: string,
  { amount, currency, orderId, paymentMethod }: Pick<PaymentState, "amount" | "currency" | "orderId" | "paymentMethod">
): boolean =>
  amount === request.amount &&
  currency === request.currency &&
  paymentMethod === request.paymentMethod &&
  orderId === (request.orderId ?? id)
