/** How long what has happened to payments is kept, and which of its fields tell of a person. */
import { Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, refine, setting } from "./Setting.ts"

const century = Duration.days(36_525)

const kept = (name: string, reason: string, minimum = Duration.zero) =>
  setting(Parser.orWord("forever", Parser.duration(century, minimum)), { name, default: "forever", reason })

/** `undefined` is for ever. */
export const paymentsRetention: Group<Duration.Duration | undefined> = kept(
  "PAYMENTS_RETENTION",
  "How long the worker keeps rows of `payments`, from when they were received: for ever by default, as laws on book-keeping may ask. A message that comes again after that is stored again."
)

/** `undefined` is for ever. */
export const auditRetention: Group<Duration.Duration | undefined> = kept(
  "PIX_AUDIT_RETENTION",
  "How long the worker `pix-audit` keeps steps in `pix_audit_log`: for ever by default, as auditors may ask."
)

/** `undefined` is for ever. */
export const intentsRetention: Group<Duration.Duration | undefined> = kept(
  "PAYMENT_INTENTS_RETENTION",
  "How long `--mode=commands` keeps payments that have ended, with their histories, from their last change: for ever by default, as laws on book-keeping may ask. A refund needs its payment. Stripe knows an idempotency key for a day: a payment that is asked for again sooner would find its old charge there.",
  Duration.days(2)
)

/** `undefined` is for ever. */
export const ordersRetention: Group<Duration.Duration | undefined> = kept(
  "ORDERS_RETENTION",
  "How long `--mode=commands` keeps orders that are paid or cancelled, from their last change: for ever by default. An order that is not known any more can be paid once more."
)

/** `undefined` is for ever. */
export const deadLettersRetention: Group<Duration.Duration | undefined> = kept(
  "EMBEDDED_DEAD_LETTERS_RETENTION",
  "How long the embedded broker keeps messages in queues whose names end in `.dlq`, from when they came there: for ever by default, since nobody is told of what is removed. The other brokers have settings of their own for it."
)

const names =
  "payer, receiver, customer, name, email, phone, address, document, cpf, cnpj, taxId, tax_id, pixKey, pix_key, paymentMethod, payment_method"

const fieldName = /^[A-Za-z0-9_-]{1,100}$/

/** Fields that tell of a person, in small letters. */
export const personalFields: Group<ReadonlyArray<string>> = refine(
  setting(
    Parser.listOf(
      Parser.parsed("a field's name of letters, digits, - and _", (name) => (fieldName.test(name) ? name : undefined))
    ),
    {
      name: "PERSONAL_FIELDS",
      default: names,
      reason:
        "What `erase` takes for personal in stored JSON, by the names of fields at any depth, in capitals or not; everything else (amounts, ids, states) stays."
    }
  ),
  (given) => Result.succeed([...new Set(given.map((name) => name.toLowerCase()))])
)

export const retentionSettings: Group<unknown> = all({
  paymentsRetention,
  auditRetention,
  intentsRetention,
  ordersRetention,
  deadLettersRetention,
  personalFields
})
