/** Gauges of what only somebody else knows: asked for now and then. */
import { Context, Duration, Effect, Metric, Schedule, type Scope } from "effect"

/** How often is asked; never, if it is no finite duration. */
export const GaugeInterval = Context.Reference<Duration.Duration>("paystream/streams/WatchedGauge/GaugeInterval", {
  defaultValue: () => Duration.seconds(15)
})

/** Keeps a gauge up to date while the scope is open; whoever cannot be asked leaves it as it was. */
export const watchGauge = <E, R>(
  gauge: Metric.Gauge<number>,
  ask: Effect.Effect<number, E, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.flatMap(GaugeInterval, (interval) =>
    Duration.isFinite(interval)
      ? ask.pipe(
          Effect.flatMap((value) => Metric.update(gauge, value)),
          Effect.ignoreCause,
          Effect.repeat(Schedule.spaced(interval)),
          Effect.forkScoped,
          Effect.asVoid
        )
      : Effect.void
  )
