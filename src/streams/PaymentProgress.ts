/** How far a payment worker is: what it may still settle, and what it has in hand. */
import { Effect } from "effect"
import * as BatchReport from "../domain/BatchReport.ts"
import type { Delivery } from "../domain/ports/Broker.ts"

/** What is left to settle, kept beyond a restart of the stream, and what is in hand, which a restart gives back. */
export const progressTo = (maxMessages = Number.POSITIVE_INFINITY) => {
  let left = maxMessages
  let inHand = 0
  let returned = 0
  return {
    left: () => {
      inHand = 0
      return left
    },
    hasNothingInHand: () => inHand === 0,
    hasReturned: () => returned > 0,
    taken: (deliveries: readonly [Delivery, ...Array<Delivery>]) => {
      inHand += deliveries.length
      return deliveries
    },
    settled: (report: BatchReport.BatchReport) =>
      Effect.sync(() => {
        inHand -= BatchReport.settled(report) + report.returned
        left -= BatchReport.settled(report)
        returned += report.returned
      })
  }
}

export type PaymentProgress = ReturnType<typeof progressTo>
