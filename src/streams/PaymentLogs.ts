/** What the payment worker says: ids and reasons, never a payload. */
import { Effect, LogLevel } from "effect"
import type { BatchReport } from "../domain/BatchReport.ts"
import type { Delivery } from "../domain/ports/Broker.ts"
import { shownId } from "./MessageIds.ts"

const idOf = (delivery: Delivery): string => shownId(delivery.id)

/** One line per dead letter. The error's text may quote the payload and is in the dead letter's header alone. */
export const logDeadLetter = (letter: {
  readonly delivery: Delivery
  readonly reason: string
  readonly sqlState?: string
}) =>
  Effect.logWarning("dead letter").pipe(
    Effect.annotateLogs({
      messageId: idOf(letter.delivery),
      reason: letter.reason,
      attempt: letter.delivery.attempt,
      ...(letter.sqlState === undefined ? {} : { sqlState: letter.sqlState })
    })
  )

/** One line per batch, at debug, with the id of each message. */
export const logBatch = (batch: ReadonlyArray<Delivery>, report: BatchReport) =>
  Effect.flatMap(LogLevel.isEnabled("Debug"), (enabled) =>
    enabled
      ? Effect.logDebug("batch").pipe(Effect.annotateLogs({ ...report, messageIds: batch.map(idOf).join(" ") }))
      : Effect.void
  )
