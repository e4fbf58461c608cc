/**
 * The PIX system as topic workers, one for each topic: requested → validated → settled → notified.
 *
 * Each worker tells the audit log of the event that it takes up, so that whatever is on a topic is audited, and a
 * refused payment like any other: it is not settled, and its payer is told.
 *
 * ## Guarantees
 * - A payment is settled only if the event on the topic of judgements says `validated`; a repeat of that event settles
 *   nothing again, and tells nobody again, for as long as finished inputs are kept.
 * - The steps of a payment are in order in the audit log, whatever the clocks; a repeat of an event adds none.
 */
import { Clock, Context, Effect } from "effect"
import { type AntiFraudLimits, judge } from "../domain/AntiFraud.ts"
import { isoOf } from "../domain/Instant.ts"
import * as PixEvent from "../domain/PixEvent.ts"
import { judgementAction, timeAfter } from "../domain/PixHistory.ts"
import { AuditLog } from "../domain/ports/AuditLog.ts"
import * as Worker from "./Worker.ts"

const { topics, versionHeader } = PixEvent
const outputVersion = versionHeader.version

/** All workers are of one group: a payment is handled by one of them, wherever they run. */
const groupId = "pix-group"

/** Handlers wait for confirms of the broker, not for the processor. */
const concurrency = 16

/** What the anti-fraud rule goes by. */
export const Limits = Context.Reference<AntiFraudLimits>("paystream/streams/PixWorkers/Limits", {
  defaultValue: () => ({ largestAmount: 10_000_000n })
})

interface Happened {
  readonly transactionId: string
  readonly at?: string
}

const millisOf = ({ at }: Happened) => (at === undefined ? Clock.currentTimeMillis : Effect.succeed(Date.parse(at)))

/** Tells the audit log of an event; gives the time of what follows from it. */
const audit = Effect.fnUntraced(function* (event: Happened, action: string, detail?: string | undefined) {
  const { transactionId } = event
  const atMillis = yield* millisOf(event)
  const entry = { transactionId, action, at: isoOf(atMillis), ...(detail === undefined ? {} : { detail }) }
  yield* Worker.publish(topics.audit, entry, { key: transactionId, ...versionHeader })
  return isoOf(timeAfter(atMillis, yield* Clock.currentTimeMillis))
})

/** Judges a payment that was asked for; again, if it is delivered again: who takes the judgement can tell. */
export const pixValidate = Worker.make(
  "pix-validate",
  {
    topic: topics.requested,
    outputTopic: topics.validated,
    groupId,
    concurrency,
    ...versionHeader,
    outputVersion,
    input: PixEvent.PaymentRequested,
    output: PixEvent.PaymentValidated
  },
  Effect.gen(function* () {
    const limits = yield* Limits
    const process = Effect.fnUntraced(function* (payment: PixEvent.PaymentRequested) {
      const at = yield* audit(payment, topics.requested)
      return { transactionId: payment.transactionId, at, ...judge(payment, limits) }
    })
    return { process }
  })
)

/** Settles what was found in order; whoever was refused is told at once. */
export const pixSettle = Worker.make(
  "pix-settle",
  {
    topic: topics.validated,
    outputTopic: topics.settled,
    groupId,
    concurrency,
    dedupe: true,
    ...versionHeader,
    outputVersion,
    input: PixEvent.PaymentValidated,
    output: PixEvent.PaymentSettled
  },
  Effect.fnUntraced(function* (event: PixEvent.StatusChange) {
    const { reason, transactionId } = event
    const at = yield* audit(event, judgementAction(event), reason)
    if (event.status === "validated") return { transactionId, at, status: "settled" }
    const refusal = { transactionId, at, status: "refused", ...(reason === undefined ? {} : { reason }) }
    yield* Worker.publish(topics.notified, refusal, { key: transactionId, ...versionHeader })
    return undefined
  })
)

/** Tells payer and receiver that the money has moved. */
export const pixNotify = Worker.make(
  "pix-notify",
  {
    topic: topics.settled,
    outputTopic: topics.notified,
    groupId,
    concurrency,
    dedupe: true,
    ...versionHeader,
    outputVersion,
    input: PixEvent.PaymentSettled,
    output: PixEvent.NotificationSent
  },
  Effect.fnUntraced(function* (event: PixEvent.StatusChange) {
    const at = yield* audit(event, topics.settled)
    return { transactionId: event.transactionId, at, status: event.status }
  })
)

/** The end of a payment's way: it is known that everybody was told. */
export const pixClose = Worker.make(
  "pix-close",
  { topic: topics.notified, groupId, concurrency, ...versionHeader, input: PixEvent.NotificationSent },
  (event) => Effect.asVoid(audit(event, topics.notified, event.status))
)

/** A database that is away blames no message: it waits, without using up an attempt. */
const whileStoreIsAway = "5 seconds"

/** Stores the audit log. */
export const pixAudit = Worker.make(
  "pix-audit",
  { topic: topics.audit, groupId, concurrency, ...versionHeader, input: PixEvent.AuditRecorded },
  Effect.gen(function* () {
    const log = yield* AuditLog
    const process = Effect.fnUntraced(function* (event: PixEvent.AuditRecorded) {
      const { action, detail, transactionId } = event
      const message = yield* Worker.CurrentMessage
      // A message without an id is told by what it says: no step happens twice to one payment.
      const id = message?.id ?? `${transactionId}/${action}`
      const entry = { id, transactionId, action, detail, atMillis: yield* millisOf(event) }
      yield* log.record(entry).pipe(
        Effect.catchIf(
          (error) => error.isRetryable,
          () => Worker.snooze(whileStoreIsAway)
        )
      )
    })
    return { process }
  })
)
