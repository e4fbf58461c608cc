/** The body of a request as the payment, or the refund, that it asks for. */
import { Result, Schema } from "effect"
import { PaymentRequest } from "../../domain/PaymentRequest.ts"
import * as JsonBody from "./JsonBody.ts"
import { RefundRequest } from "./PaymentsApi.ts"
import * as Problems from "./Problems.ts"

type Flawed = Problems.NotJson | Problems.InvalidPayment

const refuse = (errors: ReadonlyArray<JsonBody.Flaw>) =>
  Result.fail(new Problems.InvalidPayment({ detail: `${errors.length} to mend`, errors }))

const decoderOf = <A>(schema: Schema.Codec<A, unknown>) => {
  const decode = Schema.decodeUnknownResult(schema, { errors: "all" })
  return (value: unknown): Result.Result<A, Problems.InvalidPayment> => {
    if (!JsonBody.isObject(value)) return refuse([{ path: [], message: "Expected an object" }])
    const decoded = decode(value)
    return Result.isFailure(decoded) ? refuse(JsonBody.flawsOf(decoded.failure)) : Result.succeed(decoded.success)
  }
}

const payment = decoderOf(PaymentRequest)
const refund = decoderOf(RefundRequest)

/** The payment in a body, or what is wrong with it: all of it. */
export const decode = (body: Uint8Array): Result.Result<PaymentRequest, Flawed> =>
  Result.flatMap(
    JsonBody.parse(body),
    ({ text, value }): Result.Result<PaymentRequest, Flawed> => payment(JsonBody.withWrittenAmount(value, text))
  )

/** Of a refund that nobody gives a reason for. */
const ownReason = "refund_requested"

/** The reason for a refund; a body is not needed. */
export const decodeRefund = (body: Uint8Array): Result.Result<string, Flawed> =>
  body.length === 0
    ? Result.succeed(ownReason)
    : JsonBody.parse(body).pipe(
        Result.flatMap(({ value }): Result.Result<typeof RefundRequest.Type, Flawed> => refund(value)),
        Result.map(({ reason }) => reason ?? ownReason)
      )
