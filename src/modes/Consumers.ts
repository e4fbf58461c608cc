/** `--mode=consumers`: topic workers, until they are stopped. */
import "effect/schema/SchemaJITCompiler/enable"
import { Effect, Layer } from "effect"
import { AuditLog } from "../domain/ports/AuditLog.ts"
import { deadLetterTopicsOf } from "../domain/Subscriptions.ts"
import * as Settings from "../layers/config/Settings.ts"
import { letYoungGenerationGrow } from "../layers/process/Memory.ts"
import { pixAudit } from "../streams/PixWorkers.ts"
import { besideRetention } from "../streams/Retention.ts"
import { sideBySide } from "../streams/RunWorkers.ts"
import { unlessStopped } from "../streams/Shutdown.ts"
import { DeadLetterTopics } from "../streams/TopicWorker.ts"
import { besideUpkeep, guards, needsDatabase } from "../streams/WorkerStores.ts"
import * as Part from "./Part.ts"
import { modulePath, type RegisteredWorkers, registered } from "./RegisteredWorkers.ts"
import { databaseDependency, refuseWithoutDatabase } from "./WorkerGuarantees.ts"
import { refuseMissingTopics } from "./WorkerTopics.ts"

const settings = Settings.all({
  guarantees: Settings.guaranteeSettings,
  database: Settings.database,
  auditAge: Settings.auditRetention
})

/** Bodies that one worker may have in hand. */
const maxBytesInFlight = 64 * 1024 * 1024

export interface ConsumersOptions {
  /** The module that exports the workers. */
  readonly module: string | undefined
  /** Those to run; none means all. */
  readonly names: ReadonlyArray<string>
}

/** Two batches of look-ups, two of records, and one for a mark or a probe that must not wait behind them. */
const connections = 5

/** The audit log is written by as many handlers at a time as there are. */
const connectionsOfAuditLog = 5

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** The workers side by side, in the module's own world. */
const run = Effect.fnUntraced(function* ({ auditAge, guarantees, hasDatabase }: Guarding, found: RegisteredWorkers) {
  const { all, layer, onStart, workers } = found
  // A module's layer may wait for something: it does not hold up who asks to stop.
  const built = yield* unlessStopped(Layer.build(layer))
  if (built === undefined) return
  yield* Effect.sync(letYoungGenerationGrow)
  const { forget } = yield* AuditLog
  const age = workers.includes(pixAudit) ? auditAge : undefined
  const work = refuseMissingTopics(workers).pipe(
    Effect.andThen(sideBySide(workers, onStart)),
    besideRetention({ what: "steps of PIX payments", age, forget })
  )
  const guarded = hasDatabase ? work.pipe(besideUpkeep(workers), Effect.provide(guards(guarantees))) : work
  yield* guarded.pipe(Effect.provideService(DeadLetterTopics, deadLetterTopicsOf(all)), Effect.provide(built))
})

interface Guarding {
  readonly auditAge: Given["auditAge"]
  readonly guarantees: Settings.GuaranteeSettings
  readonly hasDatabase: boolean
}

const open = (guarding: Guarding, found: RegisteredWorkers) =>
  Effect.gen(function* () {
    const database = needsDatabase(found.workers) ? [yield* databaseDependency] : []
    return { dependencies: [yield* Part.brokerDependency, ...database], run: run(guarding, found) }
  })

const work = (options: ConsumersOptions) =>
  Effect.fnUntraced(function* ({ auditAge, database, guarantees }: Given) {
    const hasDatabase = database !== "none"
    const found = yield* registered(yield* modulePath(options.module), options.names)
    yield* refuseWithoutDatabase(hasDatabase ? [] : found.workers)
    const audits = found.workers.includes(pixAudit)
    const introduction = {
      workers: found.workers.map(({ name }) => name).join(", "),
      crashMarks: hasDatabase ? `dead-lettered after ${guarantees.maxCrashes} crashes` : "off (DATABASE=none)"
    }
    return {
      maxConnections: audits ? connections + connectionsOfAuditLog : connections,
      maxBytesInFlight,
      introduction,
      open: () => open({ auditAge, guarantees, hasDatabase }, found)
    }
  })

/** Workers side by side, until somebody asks to stop. */
export const consumers = (options: ConsumersOptions) =>
  Part.make("consumers", { broker: "any", database: false }, settings, work(options))
