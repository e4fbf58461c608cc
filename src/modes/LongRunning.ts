/**
 * What every mode that runs until it is stopped has around it, whether it is one part or several: the settings of all,
 * one world, one first line, one set of health pages, and one drain within one deadline.
 *
 * ## Guarantees
 * - Every problem of every part's settings is told before anything is started.
 * - The drain: every part stops taking and finishes what it has; then brokers close, then the database, then telemetry.
 * - A part that ends, or fails for good, ends the process with its exit code once the others have finished.
 */
import { Cause, Effect, Exit, Layer, Result } from "effect"
import { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as HealthServer from "../layers/http/HealthServer.ts"
import * as Process from "../layers/process/Process.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { besideRetention } from "../streams/Retention.ts"
import { Shutdown, unlessStopped } from "../streams/Shutdown.ts"
import { loaded } from "./LoadedLayer.ts"
import type { Opened, Part, Work } from "./Part.ts"
import { type ServiceSettings, serviceSettingsFor, services } from "./Services.ts"
import { world } from "./World.ts"

type Kinds = ReadonlyArray<Settings.BrokerKind>

const ofBroker: Settings.Group<Kinds> = Settings.refine(Settings.broker, (kind) => Result.succeed([kind]))
const brokersOf = ({ needs }: Part) => (typeof needs.broker === "string" ? ofBroker : needs.broker)

const record = <A>(parts: ReadonlyArray<Part>, of: (part: Part) => A): Readonly<Record<string, A>> =>
  Object.fromEntries(parts.map((part) => [part.name, of(part)]))

const worldSettings = (mode: string, parts: ReadonlyArray<Part>) => {
  const kinds = Settings.refine(Settings.all(record(parts, brokersOf)), (all) =>
    Result.succeed([...new Set(Object.values(all).flat())])
  )
  const reached = serviceSettingsFor(kinds)
  const stores = parts.some(({ needs }) => needs.database) ? Settings.withDatabase(mode, reached) : reached
  const queues = parts.some(({ needs }) => needs.broker === "queues") ? Settings.withQueues(mode, reached) : reached
  // Side by side, so that neither problem hides the other.
  return Settings.refine(Settings.all({ stores, queues }), (both) => Result.succeed(both.stores))
}

const noHealthPages: Settings.Group<Settings.HealthSettings> = {
  settings: [],
  read: () => Result.succeed({ port: undefined, asked: false })
}

const settingsOf = (mode: string, parts: ReadonlyArray<Part>) =>
  Settings.all({
    services: worldSettings(mode, parts),
    log: Settings.logSettings,
    health: parts.every(({ needs }) => needs.hasHealthPages) ? noHealthPages : Settings.healthSettings,
    works: Settings.all(record(parts, ({ settings }) => settings))
  })

/** Where the services are. */
const addresses = (parts: ReadonlyArray<Part>, { kafka, postgres, process, rabbitmq }: ServiceSettings) => {
  const brokers = { rabbitmq: rabbitmq?.address, kafka: kafka?.address, embedded: "embedded" }
  const broker = brokers[process.broker]
  return {
    ...(usesBroker(parts) && broker !== undefined ? { broker } : {}),
    database: postgres?.address ?? process.database
  }
}

const usesBroker = (parts: ReadonlyArray<Part>) => parts.some(({ needs }) => typeof needs.broker === "string")

/** Several parts may wait for the same. */
const distinct = (dependencies: ReadonlyArray<HealthServer.Dependency>) => [
  ...new Map(dependencies.toReversed().map((one) => [one.name, one])).values()
]

/** Side by side. The end of one, however it ends, is the end of all: the others finish what they have. */
const together = Effect.fnUntraced(function* (runs: ReadonlyArray<readonly [name: string, run: Opened["run"]]>) {
  const [[, only] = [], another] = runs
  if (only !== undefined && another === undefined) return yield* Effect.scoped(only)
  const shutdown = yield* Shutdown
  const failures: Array<Cause.Cause<unknown>> = []
  const one = ([name, run]: (typeof runs)[number]) =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Effect.scoped(run))
      if (Exit.isFailure(exit)) {
        failures.push(exit.cause)
        yield* Effect.logInfo(`${name} has failed, and ends the others: ${Cause.squash(exit.cause)}`)
      }
      yield* shutdown.request
    })
  yield* Effect.forEach(runs, one, { concurrency: "unbounded", discard: true })
  const [first] = failures
  if (first !== undefined) return yield* Effect.failCause(first)
})

/** Work, and the removal of old dead letters from a broker that does not remove them by itself. */
const besideDeadLetters = ({ deadLettersRetention: age }: ServiceSettings, parts: ReadonlyArray<Part>) =>
  besideRetention({
    what: "dead letters",
    age: usesBroker(parts) ? age : undefined,
    forget: (older, limit) =>
      Effect.flatMap(Broker, ({ forgetDeadLetters }) => forgetDeadLetters?.(older, limit) ?? Effect.succeed(0))
  })

export interface LongRunningOptions {
  /** As `--mode` names it. */
  readonly mode: string
  readonly parts: ReadonlyArray<Part>
  /** What the first line says beside what the parts and the settings say. */
  readonly introduction?: Readonly<Record<string, string>>
  /** In place of the process's own. */
  readonly environment?: Settings.Environment
}

/** Where no collector is named, nothing of it is loaded. */
const telemetry = (settings: Settings.ProcessSettings, environment: Settings.Environment, mode: string) =>
  settings.otlpEndpoint === undefined
    ? Layer.empty
    : loaded(
        () => import("../layers/telemetry/OpenTelemetry.ts"),
        ({ layer }) => layer(environment, Settings.serviceNameOf(settings, mode))
      )

/** Runs parts as one process, until one of them is done or somebody asks to stop. */
export const longRunning = Effect.fnUntraced(function* (options: LongRunningOptions) {
  const { mode, parts } = options
  const environment = options.environment ?? (yield* Settings.environment)
  const group = settingsOf(mode, parts)
  const { health, log, services: where, works: prepared } = yield* Settings.load(group, environment)
  // A module of workers may wait for something as it is loaded: it does not hold up who asks to stop.
  const works = yield* unlessStopped(Effect.all(prepared))
  if (works === undefined) return
  const all: ReadonlyArray<readonly [string, Work]> = Object.entries(works)
  const built = services(where, {
    maxConnections: all.reduce((sum, [, work]) => sum + work.maxConnections, 0),
    maxBytesInFlight: Math.max(...all.map(([, work]) => work.maxBytesInFlight))
  })
  const introduction = {
    ...Settings.shown(group, environment),
    ...addresses(parts, where),
    ...Object.assign({}, ...all.map(([, work]) => work.introduction)),
    ...options.introduction
  }

  const run = Effect.gen(function* () {
    yield* Process.withDeadline(where.process.shutdownTimeout)
    yield* Effect.annotateLogs(Effect.logInfo("starting"), introduction)
    const opened = yield* Effect.forEach(all, ([name, { open }]) =>
      Effect.map(open(built), (part) => ({ ...part, name }))
    )
    const dependencies = distinct(opened.flatMap((part) => part.dependencies))
    const pages = opened.flatMap((part) => (part.pages === undefined ? [] : [part.pages]))
    yield* Layer.build(HealthServer.layer(health, dependencies, Layer.mergeAll(Layer.empty, ...pages)))
    yield* besideDeadLetters(where, parts)(together(opened.map((part) => [part.name, part.run] as const)))
  })

  // Built from the last to the first and closed the other way: telemetry outlives the services.
  const surroundings = world(where, built, usesBroker(parts)).pipe(
    Layer.provideMerge(telemetry(where.process, environment, mode)),
    Layer.provideMerge(Logs.layer(log))
  )
  const service = Settings.serviceNameOf(where.process, mode)
  yield* Effect.provide(Effect.scoped(run), surroundings).pipe(Effect.annotateLogs({ service }))
})
