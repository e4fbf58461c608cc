/** Whether a service can be used, said once per change and not once per attempt. */
import { Effect, Metric } from "effect"
import { seriesOf } from "./MetricSeries.ts"

/** `starting` is neither: nothing was heard of the service yet. */
export type Availability = "starting" | "connected" | "away"

interface Failure {
  readonly isRetryable: boolean
  /** In words that may be logged. */
  readonly message: string
}

/** What an answer or an error says of the service: unless told otherwise, each answer is one, and what may pass. */
export interface Signs<A, E> {
  readonly back?: (answer: A) => boolean
  readonly away?: (error: E) => boolean
}

export interface AvailabilityLog {
  readonly current: Effect.Effect<Availability>
  readonly connected: Effect.Effect<void>
  /** `detail` says why, in words that may be logged. */
  readonly away: (detail: string) => Effect.Effect<void>
  /** Notes how `effect` ends. An answer to what was asked before the last failure is no sign that it is back. */
  readonly watch: <A, E extends Failure, R>(
    effect: Effect.Effect<A, E, R>,
    signs?: Signs<A, E>
  ) => Effect.Effect<A, E, R>
}

const reconnects = seriesOf(["service"], (attributes) =>
  Metric.counter("paystream_reconnects_total", {
    description: "Times that a service came back after it was away",
    attributes,
    incremental: true
  })
)

/** The state of one service; `address` has no credentials. */
export const make = (service: string, address: string): AvailabilityLog => {
  let state: Availability = "starting"
  let failures = 0
  const change = (next: Availability, log: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (state === next) return Effect.void
      const back = state === "away" && next === "connected"
      state = next
      return Effect.annotateLogs(back ? Effect.andThen(log, Metric.update(reconnects(service), 1)) : log, {
        service,
        address
      })
    })
  const connected = change("connected", Effect.logInfo(`connected to ${service}`))
  const away = (detail: string) =>
    Effect.suspend(() => {
      failures += 1
      return change("away", Effect.logWarning(`${service} is away: ${detail}`))
    })
  const watch: AvailabilityLog["watch"] = (effect, signs) =>
    Effect.suspend(() => {
      const before = failures
      return effect.pipe(
        Effect.tap((answer) => (failures === before && (signs?.back?.(answer) ?? true) ? connected : Effect.void)),
        Effect.tapError((error) => ((signs?.away?.(error) ?? error.isRetryable) ? away(error.message) : Effect.void))
      )
    })
  return { current: Effect.sync(() => state), connected, away, watch }
}
