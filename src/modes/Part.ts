/** A part of a process: what one mode does, without the process around it. Several of them can share one. */
import { Effect, Result, type Scope } from "effect"
import { Broker } from "../domain/ports/Broker.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import type * as HealthServer from "../layers/http/HealthServer.ts"
import type { Shutdown } from "../streams/Shutdown.ts"
import type { Supervisor } from "../streams/Supervisor.ts"
import type { Services } from "./Services.ts"
import type { World } from "./World.ts"

/** What a part cannot do without. */
export interface Needs {
  /** The one of `BROKER`, with queues or of any kind; or brokers of its own, which it builds itself. */
  readonly broker: "queues" | "any" | Settings.Group<ReadonlyArray<Settings.BrokerKind>>
  readonly database: boolean
  /** Its own server shows the pages for probes: no other is needed for it. */
  readonly hasHealthPages?: boolean
}

/** A part that stands in its world. */
export interface Opened {
  /** The process is ready while all of these are. */
  readonly dependencies: ReadonlyArray<HealthServer.Dependency>
  /** What it shows beside the pages for probes. */
  readonly pages?: HealthServer.Pages
  /** Runs until it is done, or somebody asks to stop; then what is in flight is finished. */
  readonly run: Effect.Effect<void, unknown, World | Scope.Scope | Shutdown | Supervisor>
}

/** What a part is going to do. */
export interface Work {
  /** Connections to the database that it uses at the same time. */
  readonly maxConnections: number
  /** Bodies that one consumer may have in hand, in bytes. */
  readonly maxBytesInFlight: number
  /** What the first line of the log says of it. */
  readonly introduction: Readonly<Record<string, string>>
  readonly open: (services: Services) => Effect.Effect<Opened, unknown, World | Scope.Scope | Shutdown | Supervisor>
}

/** A part, and the settings that make it what it is. */
export interface Part {
  readonly name: string
  readonly needs: Needs
  readonly settings: Settings.Group<Effect.Effect<Work, unknown>>
}

/** A part of its settings, and of what it makes of them. */
export const make = <A, E>(
  name: string,
  needs: Needs,
  settings: Settings.Group<A>,
  work: (given: A) => Effect.Effect<Work, E>
): Part => ({ name, needs, settings: Settings.refine(settings, (given) => Result.succeed(work(given))) })

/** Readiness of the broker: as it last showed itself. */
export const brokerDependency = Effect.map(Broker, (broker) => ({
  name: "broker",
  isReady: Effect.map(broker.status, (status) => status === "connected")
}))

/** Ready while broker and database answer. */
export const bothDependencies = Effect.gen(function* () {
  const store = yield* PaymentStore
  return [yield* brokerDependency, { name: "database", isReady: Effect.isSuccess(store.ping) }]
})
