/** Whether a broker can be published to, kept up to date also while nobody publishes. */
import { Effect, Stream } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import { untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"
import { within } from "./Within.ts"

/** A probe asks its own connection, no more. */
const every = "1 second"
const longestWait = "5 seconds"

/** What is known of the broker, and the stream that keeps it so: it ends only when the broker refuses. */
export const make = (broker: Broker["Service"]) => {
  let reached = false
  const look = broker.publishToTopics([]).pipe(
    Effect.andThen(broker.status),
    within(longestWait, () => Effect.succeed("away" as const)),
    // its layer tells that it is away
    Effect.catchIf(
      (error) => error.isRetryable,
      () => Effect.succeed("away" as const)
    ),
    Effect.map((status) => {
      reached = status === "connected"
      return reached
    })
  )
  return {
    isReachable: Effect.sync(() => reached),
    watched: Stream.tick(every).pipe(
      untilShutdown,
      Stream.mapEffect(() => look),
      supervised(`broker ${broker.kind}`)
    )
  }
}
