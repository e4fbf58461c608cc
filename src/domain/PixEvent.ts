/**
 * The five topics of the PIX system, and what is on them. Fields that a schema does not know are let through; what could
 * not be read by those who know this version would get another one, in the header `version`.
 */
import { Effect, Schema } from "effect"
import { Amount, Currency, defaultCurrency } from "./Money.ts"
import { OutsideId } from "./OutsideId.ts"

/** The names of the topics. */
export const topics = {
  requested: "pix.payment.requested",
  validated: "pix.payment.validated",
  settled: "pix.payment.settled",
  notified: "pix.notification.sent",
  audit: "pix.audit.log"
} as const

/** The header of each event that says which version of its schema it follows; without it, it is taken for this one. */
export const versionHeader = { version: "1" } as const

/** The name of one of the topics. */
export type Topic = (typeof topics)[keyof typeof topics]

/** A PIX transaction, as who asks for it calls it. */
export const TransactionId = OutsideId

/** One line of text that is not blank. */
const line = (longest: number) =>
  Schema.String.check(
    Schema.makeFilter(
      (text: string) => text.length <= longest && text.trim() !== "" && text.isWellFormed() && !/\p{Cc}/u.test(text),
      { message: `1 to ${longest} characters on one line, not all of them spaces` }
    )
  )

const timestamp =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/

/** When it happened, as RFC 3339 writes it. */
const Time = Schema.String.check(
  Schema.makeFilter((text: string) => timestamp.test(text) && !Number.isNaN(Date.parse(text)), {
    message: "a time such as 2026-11-21T12:00:00.000Z"
  })
)

const happened = { transactionId: TransactionId, at: Schema.optionalKey(Time) }

/** Somebody asks for a payment. `amount` is in minor units. */
export const PaymentRequested = Schema.Struct({
  ...happened,
  amount: Amount,
  currency: Currency.pipe(Schema.withDecodingDefaultKey(Effect.succeed(defaultCurrency))),
  payer: line(140),
  receiver: line(140)
})
export type PaymentRequested = typeof PaymentRequested.Type

/** What became of a payment so far, and the reason where it was refused. */
const statusChange = Schema.Struct({ ...happened, status: line(50), reason: Schema.optionalKey(line(500)) })

/** The anti-fraud rule has judged: `validated` or `refused`. Only what is `validated` is ever settled. */
export const PaymentValidated = statusChange
/** The money has moved. */
export const PaymentSettled = statusChange
/** Payer and receiver were told. */
export const NotificationSent = statusChange
export type StatusChange = typeof statusChange.Type

/** Something happened to a payment, for the audit log. */
export const AuditRecorded = Schema.Struct({ ...happened, action: line(100), detail: Schema.optionalKey(line(500)) })
export type AuditRecorded = typeof AuditRecorded.Type

/** The schema of each topic. */
export const schemas = {
  [topics.requested]: PaymentRequested,
  [topics.validated]: PaymentValidated,
  [topics.settled]: PaymentSettled,
  [topics.notified]: NotificationSent,
  [topics.audit]: AuditRecorded
} as const

/** Whether a text names one of the topics. */
export const isTopic = (name: unknown): name is Topic => typeof name === "string" && Object.hasOwn(schemas, name)
