/** What every mode that runs until it is stopped has around it: a deadline for the drain, a first line, health pages. */
import { Effect, Layer } from "effect"
import { Broker } from "../domain/ports/Broker.ts"
import type * as Settings from "../layers/config/Settings.ts"
import * as HealthServer from "../layers/http/HealthServer.ts"
import * as Process from "../layers/process/Process.ts"
import type { ServiceSettings } from "./Services.ts"

export interface LongRunningOptions {
  readonly services: ServiceSettings
  readonly health: Settings.HealthSettings
  /** What the first line of the log says. */
  readonly introduction: Readonly<Record<string, string>>
  /** Ready while all of these are. */
  readonly dependencies: ReadonlyArray<HealthServer.Dependency>
}

/** Readiness of the broker: as it last showed itself. */
export const brokerDependency = Effect.map(Broker, (broker) => ({
  name: "broker",
  isReady: Effect.map(broker.status, (status) => status === "connected")
}))

/** Runs `program` with all that around it. */
export const longRunning = <A, E, R>(options: LongRunningOptions, program: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* Process.withDeadline(options.services.process.shutdownTimeout)
      yield* Effect.annotateLogs(Effect.logInfo("starting"), options.introduction)
      yield* Layer.build(HealthServer.layer(options.health, options.dependencies))
      return yield* program
    })
  )

/** Where the services are, for the first line. */
export const addresses = ({ kafka, postgres, process, rabbitmq }: ServiceSettings) => ({
  broker: rabbitmq?.address ?? kafka?.address ?? "embedded",
  database: postgres?.address ?? process.database
})
