/** Whether a service can be used, said once per change and not once per attempt. */
import { Effect, Metric } from "effect"

/** `starting` is neither: nothing was heard of the service yet. */
export type Availability = "starting" | "connected" | "away"

export interface AvailabilityLog {
  readonly current: Effect.Effect<Availability>
  readonly connected: Effect.Effect<void>
  /** `detail` says why, in words that may be logged. */
  readonly away: (detail: string) => Effect.Effect<void>
}

const reconnects = Metric.counter("paystream_reconnects_total", {
  description: "Times that a service came back after it was away",
  incremental: true
})

/** The state of one service; `address` has no credentials. */
export const make = (service: string, address: string): AvailabilityLog => {
  let state: Availability = "starting"
  const cameBack = Metric.withAttributes(reconnects, { service })
  const change = (next: Availability, log: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (state === next) return Effect.void
      const back = state === "away" && next === "connected"
      state = next
      return Effect.annotateLogs(back ? Effect.andThen(log, Metric.update(cameBack, 1)) : log, { service, address })
    })
  return {
    current: Effect.sync(() => state),
    connected: change("connected", Effect.logInfo(`connected to ${service}`)),
    away: (detail) => change("away", Effect.logWarning(`${service} is away: ${detail}`))
  }
}
