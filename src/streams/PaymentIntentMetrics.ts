/** What is measured, and said, of payments that are asked for. */
import { Clock, Effect, Metric } from "effect"
import type { PaymentState, Status } from "../domain/PaymentState.ts"
import type { Standing } from "../domain/ports/PaymentIntents.ts"
import { seriesOf } from "./MetricSeries.ts"

const byStatus = seriesOf(["status"], (attributes) =>
  Metric.counter("paystream_payments_total", {
    description: "Payments that came to a status, by status",
    attributes,
    incremental: true
  })
)

const chargeSeconds = Metric.histogram("paystream_payment_charge_seconds", {
  description: "From telling the provider to take the money to its answer, in seconds",
  boundaries: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
})

const inDoubt = Metric.gauge("paystream_payments_in_doubt", { description: "Payments in doubt now" })
const oldestInDoubt = Metric.gauge("paystream_payments_oldest_in_doubt_seconds", {
  description: "How long the payment has been in doubt that has been so the longest"
})
const compensating = Metric.gauge("paystream_payments_compensating", { description: "Payments that are undone now" })
const required = Metric.gauge("paystream_payments_compensation_required", {
  description: "Payments whose compensation waits for an operator"
})
const stuck = Metric.gauge("paystream_payments_stuck", {
  description: "Payments that do not get on by themselves and need somebody to look at them"
})

/** Times a charge, whatever its answer is. */
export const charge = <A, E, R>(confirm: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.currentTimeMillis, (start) =>
    Effect.ensuring(
      confirm,
      Effect.flatMap(Clock.currentTimeMillis, (end) => Metric.update(chargeSeconds, (end - start) / 1000))
    )
  )

const levels = {
  requested: Effect.logDebug,
  processing: Effect.logDebug,
  in_doubt: Effect.logWarning,
  succeeded: Effect.logDebug,
  failed: Effect.logInfo,
  compensating: Effect.logWarning,
  compensated: Effect.logInfo
} as const satisfies Record<Status, unknown>

/** Where no money has moved, as after a decline, there is little to undo: that it has failed is told next. */
const tell = ({ status, wasCharged }: Pick<PaymentState, "status" | "wasCharged">) =>
  status === "compensating" && !wasCharged ? Effect.logDebug : levels[status]

/** Counts and tells a payment's coming to a status. */
export const cameTo = (id: string, state: Pick<PaymentState, "failure" | "status" | "wasCharged">) => {
  const { failure, status } = state
  return Effect.andThen(
    Metric.update(byStatus(status), 1),
    Effect.annotateLogs(tell(state)(`payment ${status}`), {
      paymentId: id,
      ...(failure === undefined ? {} : { reason: failure })
    })
  )
}

/** Tells of a refund that came to nothing. */
export const refundFailed = (id: string, reason: string) =>
  Effect.annotateLogs(Effect.logError("the money of a payment has not gone back: it waits for `sagas compensate`"), {
    paymentId: id,
    reason
  })

/** Shows how payments stand. */
export const standing = (found: Standing) =>
  Effect.all(
    [
      Metric.update(inDoubt, found.inDoubt),
      Metric.update(oldestInDoubt, found.oldestInDoubtMillis / 1000),
      Metric.update(compensating, found.compensating),
      Metric.update(required, found.required),
      Metric.update(stuck, found.stuck)
    ],
    { discard: true }
  )
