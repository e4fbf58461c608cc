/**
 * How every command begins and is stopped: all that is wrong with its settings is told at once, its log goes beside its
 * answer, and who asks it to stop waits for nothing.
 */
import { Effect, Option } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { Shutdown } from "../streams/Shutdown.ts"
import { type ServiceSettings, type Services, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

interface WithLog {
  readonly log: Settings.LogSettings
}

interface WithServices extends WithLog {
  readonly services: ServiceSettings
}

/** Where a command differs from the others. */
export interface CommandOptions {
  /** In place of the process's own. */
  readonly environment?: Settings.Environment
  /** One, unless told. */
  readonly maxConnections?: number
  /** Where it finishes what is in flight, and says what it has done. */
  readonly stopsByItself?: boolean
}

/** Fails as soon as stopping is asked for. */
const stopped = Effect.gen(function* () {
  yield* (yield* Shutdown).requested
  return yield* new StoppedEarly({ detail: "before the end; what was under way is rolled back" })
})

/** A command that needs nothing but its settings. */
export const withSettings = Effect.fnUntraced(function* <A extends WithLog, B, E, R>(
  settings: Settings.Group<A>,
  use: (given: A) => Effect.Effect<B, E, R>,
  { environment, stopsByItself = false }: CommandOptions = {}
) {
  const given = yield* Settings.load(settings, environment ?? (yield* Settings.environment))
  const work = Effect.provide(use(given), Logs.besideAnswer(given.log))
  return yield* stopsByItself ? work : Effect.raceFirst(work, stopped)
})

/** A command that asks the services of its settings; none of them connects before it is used. */
export const withServices = <A extends WithServices, B, E, R>(
  settings: Settings.Group<A>,
  use: (services: Services, given: A) => Effect.Effect<B, E, R>,
  options: CommandOptions = {}
) =>
  withSettings(
    settings,
    (given) =>
      use(services(given.services, { maxConnections: options.maxConnections ?? 1, maxBytesInFlight: 0 }), given),
    options
  )

/** Who asks for a change, as a flag says it; the user of the system without one. */
export const askedBy = (flag: Option.Option<string>) =>
  Effect.map(Settings.environment, (environment) =>
    Option.getOrElse(flag, () => environment.get("USER") ?? environment.get("LOGNAME") ?? "unknown")
  )
