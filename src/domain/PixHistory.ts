/** What has happened to a payment, step by step. */
import { type StatusChange, topics } from "./PixEvent.ts"

/** One step, as the audit log keeps it. */
export interface AuditEntry {
  /** Of the message that told of it: what is recorded again under the same id is the same step. */
  readonly id: string
  readonly transactionId: string
  readonly action: string
  readonly detail: string | undefined
  /** When it happened, in milliseconds since the epoch. */
  readonly atMillis: number
}

/** What a status on the topic of judgements is called in the audit log. */
export const judgementAction = ({ status }: Pick<StatusChange, "status">): string =>
  status === "validated" ? topics.validated : "pix.payment.refused"

/**
 * When a step that follows another has happened: now, but never before the one that it follows, so that the steps of a
 * payment are in order whatever the clocks of the machines that they ran on.
 */
export const timeAfter = (previousMillis: number, nowMillis: number): number => Math.max(nowMillis, previousMillis + 1)
