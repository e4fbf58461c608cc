/** What the API answers when it does not do what it was asked: problem details as RFC 9457 has them. */
import { Effect, Schema } from "effect"
import { HttpServerRespondable, HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"

const type = <const Name extends string>(name: Name) => `urn:paystream:problem:${name}` as const

/** The body is not JSON in UTF-8. */
export class NotJson extends HttpApiError.Problem<NotJson>()("NotJson", {
  type: type("not-json"),
  status: 400,
  title: "The body is not JSON"
}) {}

/** The body is JSON, but not what is taken here: `errors` has the path and the reason of every flaw. */
export class InvalidEvent extends HttpApiError.Problem<InvalidEvent>()(
  "InvalidEvent",
  { type: type("invalid-event"), status: 400, title: "The event is not valid" },
  { errors: Schema.Array(HttpApiError.ProblemIssue) }
) {}

/** The body is JSON, but asks for no payment, or no refund: `errors` has the path and the reason of every flaw. */
export class InvalidPayment extends HttpApiError.Problem<InvalidPayment>()(
  "InvalidPayment",
  { type: type("invalid-payment"), status: 400, title: "The request is not valid" },
  { errors: Schema.Array(HttpApiError.ProblemIssue) }
) {}

/** Money moves only under a key, so that a request can be sent again without harm. */
export class MissingKey extends HttpApiError.Problem<MissingKey>()("MissingKey", {
  type: type("missing-idempotency-key"),
  status: 400,
  title: "An Idempotency-Key is needed"
}) {}

/** The webhook is not signed by whom it should be, or was signed too long ago. */
export class InvalidSignature extends HttpApiError.Problem<InvalidSignature>()("InvalidSignature", {
  type: type("invalid-signature"),
  status: 400,
  title: "The signature is not valid"
}) {}

/** The header `Idempotency-Key` cannot be one. */
export class InvalidKey extends HttpApiError.Problem<InvalidKey>()("InvalidKey", {
  type: type("invalid-idempotency-key"),
  status: 400,
  title: "The Idempotency-Key is not valid"
}) {}

/** No key, or none of those that may use the API. */
export class Unauthorized extends HttpApiError.Problem<Unauthorized>()("Unauthorized", {
  type: type("unauthorized"),
  status: 401,
  title: "A valid API key is needed"
}) {}

/** Nothing is there. */
export class NotFound extends HttpApiError.Problem<NotFound>()("NotFound", {
  type: type("not-found"),
  status: 404,
  title: "There is nothing here"
}) {}

/** Nothing is known of a transaction. */
export class UnknownTransaction extends HttpApiError.Problem<UnknownTransaction>()("UnknownTransaction", {
  type: type("unknown-transaction"),
  status: 404,
  title: "The transaction is not known"
}) {}

/** Nothing is known of a payment. */
export class UnknownPayment extends HttpApiError.Problem<UnknownPayment>()("UnknownPayment", {
  type: type("unknown-payment"),
  status: 404,
  title: "The payment is not known"
}) {}

/** The path is there, and takes other methods. */
export class MethodNotAllowed extends HttpApiError.Problem<MethodNotAllowed>()("MethodNotAllowed", {
  type: type("method-not-allowed"),
  status: 405,
  title: "This method is not taken here"
}) {}

/** The client took too long to send its request. */
export class RequestTimeout extends HttpApiError.Problem<RequestTimeout>()("RequestTimeout", {
  type: type("request-timeout"),
  status: 408,
  title: "The request took too long to arrive"
}) {}

/** A request with this Idempotency-Key is being worked on. */
export class UnderWay extends HttpApiError.Problem<UnderWay>()("UnderWay", {
  type: type("request-under-way"),
  status: 409,
  title: "A request with this Idempotency-Key is under way"
}) {}

/** A payment that has no money to give back, or not yet. */
export class NotRefundable extends HttpApiError.Problem<NotRefundable>()("NotRefundable", {
  type: type("payment-not-refundable"),
  status: 409,
  title: "The payment cannot be refunded"
}) {}

/** The body is larger than is taken. */
export class BodyTooLarge extends HttpApiError.Problem<BodyTooLarge>()("BodyTooLarge", {
  type: type("body-too-large"),
  status: 413,
  title: "The body is too large"
}) {}

/** The Idempotency-Key belongs to another request. */
export class OtherRequest extends HttpApiError.Problem<OtherRequest>()("OtherRequest", {
  type: type("idempotency-key-reused"),
  status: 422,
  title: "This Idempotency-Key was used for another request"
}) {}

/** More requests than this key may send. */
export class TooManyRequests extends HttpApiError.Problem<TooManyRequests>()("TooManyRequests", {
  type: type("too-many-requests"),
  status: 429,
  title: "Too many requests"
}) {}

/** A bug of ours; what it is stands in the log. */
export class Unexpected extends HttpApiError.Problem<Unexpected>()("Unexpected", {
  type: type("unexpected"),
  status: 500,
  title: "Something went wrong here"
}) {}

/**
 * Whoever processes the payment dies of it: nobody does any more until an operator says so. No answer that is kept: after
 * that, the same request gets what came of it.
 */
export class InQuarantine extends HttpApiError.Problem<InQuarantine>()("InQuarantine", {
  type: type("payment-in-quarantine"),
  status: 503,
  title: "The payment waits for an operator"
}) {}

/** Broker or database cannot be reached now, or the payment provider cannot be used. */
export class Unavailable extends HttpApiError.Problem<Unavailable>()("Unavailable", {
  type: type("unavailable"),
  status: 503,
  title: "The service cannot do this now"
}) {}

/** A problem as a response, with headers of its own. */
export const toResponse = (
  problem: HttpServerRespondable.Respondable,
  headers: Readonly<Record<string, string>> = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(Effect.orDie(HttpServerRespondable.toResponse(problem)), HttpServerResponse.setHeaders(headers))
