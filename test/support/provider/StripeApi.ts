/** The slice of Stripe's API that is used here: what each request does to the books, and what it is answered. */
import { randomUUID } from "node:crypto"
import type { Books, Intent, Refund, RefundStatus } from "./Books.ts"
import type { Fault, Operation } from "./Faults.ts"

export interface Answer {
  readonly status: number
  readonly body: unknown
  /** Whether Stripe would give the same answer to the same key: it had begun to carry the request out. */
  readonly isKept: boolean
}

export interface Question {
  readonly operation: Operation
  /** Of the PaymentIntent, where the path names it. */
  readonly id: string | undefined
  readonly params: URLSearchParams
}

const done = (body: unknown): Answer => ({ status: 200, body, isKept: true })

const error = (status: number, fields: Readonly<Record<string, unknown>>, isKept = false): Answer => ({
  status,
  body: { error: { type: "invalid_request_error", ...fields } },
  isKept
})

/** Of the server itself. */
export const broken: Answer = error(500, { type: "api_error", message: "Something went wrong on our side." })

export const tooPoor: Answer = error(400, { code: "balance_insufficient", message: "Insufficient funds." }, true)

export const limited: Answer = error(429, { code: "rate_limit", message: "Too many requests." })

export const unauthorized: Answer = error(401, { message: "Invalid API Key provided: sk_test_****" })

/** A restricted key, that lacks what it takes. */
export const forbidden: Answer = error(403, { message: "The provided key does not have the required permissions." })

/** The same key for another question. */
export const otherQuestion: Answer = error(400, {
  type: "idempotency_error",
  message: "Keys for idempotent requests can only be used with the same parameters they were first used with."
})

// Stripe's own sentences quote what was sent, and so do these.
const missing = (what: string, value: string | undefined, param: string): Answer =>
  error(400, { code: "resource_missing", param, message: `No such ${what}: '${value}'` })

const declineCodes: Readonly<Record<string, string>> = {
  pm_card_chargeDeclined: "generic_decline",
  pm_card_chargeDeclinedInsufficientFunds: "insufficient_funds"
}

const methods = new Set([
  "pm_card_visa",
  "pm_card_authenticationRequired",
  "sandbox_timeout",
  "sandbox_timeout_charged",
  "sandbox_error",
  "sandbox_twice",
  "sandbox_refund_pending",
  "sandbox_refund_fails",
  ...Object.keys(declineCodes)
])

/** What goes wrong by itself when a charge of this payment method is confirmed. */
export const faultOf = ({ attempts, paymentMethod, status }: Intent): Fault | undefined => {
  if (status !== "requires_confirmation") return undefined
  switch (paymentMethod) {
    case "sandbox_timeout":
      return "timeout"
    case "sandbox_timeout_charged":
      return "timeout_after"
    case "sandbox_error":
      return "error"
    case "sandbox_twice":
      return attempts < 2 ? "error" : undefined
    default:
      return undefined
  }
}

/** Stripe says so as soon as a refund is asked for; no more once it has failed. */
const isRefunded = ({ refunds }: Intent): boolean => refunds.some(({ status }) => status !== "failed")

const shown = (intent: Intent) => ({
  id: intent.id,
  object: "payment_intent",
  amount: intent.amount,
  amount_received: intent.status === "succeeded" ? intent.amount : 0,
  currency: intent.currency,
  status: intent.status,
  payment_method: intent.status === "requires_payment_method" ? null : intent.paymentMethod,
  metadata: { payment_id: intent.paymentId },
  last_payment_error:
    intent.code === null ? null : { type: "card_error", code: "card_declined", decline_code: intent.code },
  latest_charge:
    intent.status === "succeeded"
      ? { id: `ch_${intent.id}`, object: "charge", amount: intent.amount, refunded: isRefunded(intent) }
      : null,
  livemode: false
})

const unexpected = (intent: Intent, verb: string): Answer =>
  error(
    400,
    {
      code: "payment_intent_unexpected_state",
      message: `You cannot ${verb} this PaymentIntent because it has a status of ${intent.status}.`,
      payment_intent: shown(intent)
    },
    true
  )

const known: Readonly<Record<Operation, RegExp>> = {
  prepare:
    /^(amount|currency|payment_method|automatic_payment_methods\[(enabled|allow_redirects)\]|capture_method|metadata\[\w+\])$/,
  confirm: /^(error_on_requires_action|expand\[\d\])$/,
  retrieve: /^expand\[\d\]$/,
  cancel: /^expand\[\d\]$/,
  refund: /^(payment_intent|metadata\[\w+\])$/,
  refunds: /^(payment_intent|limit)$/
}

const create = (books: Books, params: URLSearchParams): Answer => {
  const [amount, currency, paymentMethod, paymentId] = [
    Number(params.get("amount")),
    params.get("currency") ?? "",
    params.get("payment_method") ?? "",
    params.get("metadata[payment_id]") ?? ""
  ]
  if (!Number.isSafeInteger(amount) || amount < 1) return error(400, { param: "amount", message: "Invalid amount" })
  if (!/^[a-z]{3}$/.test(currency)) return error(400, { param: "currency", message: `Invalid currency: ${currency}` })
  if (!methods.has(paymentMethod)) return missing("PaymentMethod", paymentMethod, "payment_method")
  const intent: Intent = {
    id: `pi_${randomUUID().replaceAll("-", "")}`,
    paymentId,
    amount,
    currency,
    paymentMethod,
    status: "requires_confirmation",
    code: null,
    attempts: 0,
    refunds: []
  }
  books.putIntent(intent)
  return done(shown(intent))
}

const declined = (books: Books, intent: Intent, code: string): Answer => {
  const now: Intent = { ...intent, status: "requires_payment_method", code }
  books.putIntent(now)
  const isForPayer = code === "authentication_required"
  return error(
    402,
    {
      type: "card_error",
      code: isForPayer ? code : "card_declined",
      decline_code: code,
      message: "Your card was declined.",
      payment_intent: shown(now)
    },
    true
  )
}

const confirm = (books: Books, before: Intent, params: URLSearchParams): Answer => {
  if (before.status !== "requires_confirmation") return unexpected(before, "confirm")
  const intent = { ...before, attempts: before.attempts + 1 }
  const code = declineCodes[intent.paymentMethod]
  if (code !== undefined) return declined(books, intent, code)
  if (intent.paymentMethod === "pm_card_authenticationRequired") {
    if (params.get("error_on_requires_action") === "true") return declined(books, intent, "authentication_required")
    books.putIntent({ ...intent, status: "requires_action" })
    return done(shown({ ...intent, status: "requires_action" }))
  }
  const charged: Intent = { ...intent, status: "succeeded" }
  books.putIntent(charged)
  books.moveMoney("charge", charged)
  return done(shown(charged))
}

const cancel = (books: Books, intent: Intent): Answer => {
  if (intent.status === "succeeded" || intent.status === "canceled") return unexpected(intent, "cancel")
  const canceled: Intent = { ...intent, status: "canceled" }
  books.putIntent(canceled)
  return done(shown(canceled))
}

const refund = (books: Books, intent: Intent): Answer => {
  if (intent.status !== "succeeded") {
    return error(
      400,
      { message: `This PaymentIntent (${intent.id}) does not have a successful charge to refund.` },
      true
    )
  }
  if (isRefunded(intent)) {
    return error(
      400,
      { code: "charge_already_refunded", message: `Charge ch_${intent.id} has already been refunded.` },
      true
    )
  }
  const isSlow = intent.refunds.length === 0 && refundEnds[intent.paymentMethod] !== undefined
  const made: Refund = { id: `re_${intent.refunds.length + 1}_${intent.id}`, status: isSlow ? "pending" : "succeeded" }
  books.putIntent({ ...intent, refunds: [...intent.refunds, made] })
  if (!isSlow) books.moveMoney("refund", intent)
  return done(shownRefund(intent, made))
}

/** What comes of a refund that is pending, once it was looked at. */
const refundEnds: Readonly<Record<string, RefundStatus>> = {
  sandbox_refund_pending: "succeeded",
  sandbox_refund_fails: "failed"
}

const shownRefund = ({ amount, currency, id }: Intent, refund: Refund) => ({
  id: refund.id,
  object: "refund",
  amount,
  currency,
  payment_intent: id,
  status: refund.status,
  ...(refund.status === "failed" ? { failure_reason: "expired_or_canceled_card" } : {})
})

/** Ends the latest refund of a charge, whatever was said of it before. */
export const endRefund = (books: Books, intent: Intent, status: RefundStatus): void => {
  const latest = intent.refunds.at(-1)
  if (latest === undefined || latest.status === status) return
  books.putIntent({ ...intent, refunds: [...intent.refunds.slice(0, -1), { ...latest, status }] })
  if (status === "succeeded") books.moveMoney("refund", intent)
  else if (latest.status === "succeeded") books.takeBack(intent)
}

/** As Stripe lists them: the latest first. */
const listRefunds = (books: Books, intent: Intent): Answer => {
  const data = intent.refunds.map((refund) => shownRefund(intent, refund)).reverse()
  const end = refundEnds[intent.paymentMethod]
  if (end !== undefined && intent.refunds.at(-1)?.status === "pending") endRefund(books, intent, end)
  return done({ object: "list", url: "/v1/refunds", has_more: false, data })
}

/** Counts a try to take the money that came to nothing. */
export const countAttempt = (books: Books, intent: Intent): void =>
  books.putIntent({ ...intent, attempts: intent.attempts + 1 })

/** The PaymentIntent that a request is about. */
export const intentOf = (books: Books, { id, params }: Question): Intent | undefined =>
  books.intent(id ?? params.get("payment_intent") ?? "")

/** Does what is asked. */
export const handle = (books: Books, question: Question): Answer => {
  const { id, operation, params } = question
  const unknown = [...params.keys()].find((name) => !known[operation].test(name))
  if (unknown !== undefined) {
    return error(400, { code: "parameter_unknown", param: unknown, message: `Received unknown parameter: ${unknown}` })
  }
  if (operation === "prepare") return create(books, params)
  const intent = intentOf(books, question)
  if (intent === undefined) return { ...missing("payment_intent", id, "intent"), status: 404 }
  if (operation === "retrieve") return done(shown(intent))
  if (operation === "refunds") return listRefunds(books, intent)
  if (operation === "confirm") return confirm(books, intent, params)
  return operation === "cancel" ? cancel(books, intent) : refund(books, intent)
}
