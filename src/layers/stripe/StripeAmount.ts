/**
 * Amounts as Stripe counts them. Ours have two places in every currency; Stripe counts a currency's own smallest unit.
 * See https://docs.stripe.com/currencies; krónur and Ugandan shillings have two places there, for old times' sake.
 */
import { Result } from "effect"
import { GatewayError, GatewayRefused } from "../../domain/ports/PaymentGateway.ts"

const withoutPlaces = new Set("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(" "))
const withThreePlaces = new Set("BHD JOD KWD OMR TND".split(" "))

const refused = (detail: string) => Result.fail(new GatewayError({ reason: new GatewayRefused({ detail }) }))

const countedOf = (minorUnits: bigint, currency: string): bigint | undefined => {
  if (withThreePlaces.has(currency)) return minorUnits * 10n
  if (!withoutPlaces.has(currency)) return minorUnits
  return minorUnits % 100n === 0n ? minorUnits / 100n : undefined
}

/** Of minor units with two places; a refusal of an amount that Stripe cannot be told exactly. */
export const amountOf = (minorUnits: bigint, currency: string): Result.Result<number, GatewayError> => {
  const counted = countedOf(minorUnits, currency)
  if (counted === undefined) return refused(`${currency} has no places after the point: the amount must be whole`)
  return counted <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Result.succeed(Number(counted))
    : refused(`the amount is too large for Stripe in ${currency}`)
}
