/** pg-boss as a scoped resource: its connections, its timers and its errors. */
import { Clock, Effect, Predicate, Redacted, Schedule, type Scope } from "effect"
import { PgBoss } from "pg-boss"
import { BrokerAway, BrokerError, BrokerRefused, Unroutable } from "../../domain/ports/Broker.ts"

/** The queue library, in use until the scope closes. */
export interface JobQueue {
  readonly address: string
  /** Runs a call to the library; its failure is the broker's. A call that has begun is not interrupted. */
  readonly use: <A>(call: (boss: PgBoss) => Promise<A>) => Effect.Effect<A, BrokerError>
  /** The library's policy of queues that were asked for it. */
  readonly policies: Map<string, string>
}

/** Where its tables are, apart from the payments. */
export const schema = "paystream_broker"

/** Enough for some consumers, each of which fetches, settles and keeps its claims at the same time. */
const maxConnections = 8

const secondsPerHour = 3600

// A queue fills and empties faster than statistics are taken: a plan made for the table as it was reads all of a million
// rows to claim one. There is an index for everything that we ask, and nothing else is faster.
// What cannot do without the others looks so dear that it would be compiled first, for a tenth of a second.
const planByIndex = ["enable_seqscan", "enable_bitmapscan", "enable_sort", "jit"]
  .map((name) => `-c ${name}=off`)
  .join(" ")

// Upkeep is ours (see Consumer.ts); the library's own only clears away what was rejected long ago.
const options = {
  schema,
  application_name: "paystream broker",
  max: maxConnections,
  options: planByIndex,
  keepAlive: true,
  query_timeout: 60_000, // a connection that a firewall has forgotten answers never
  schedule: false,
  reindex: false,
  monitorVacuum: false,
  superviseIntervalSeconds: secondsPerHour,
  monitorIntervalSeconds: secondsPerHour,
  maintenanceIntervalSeconds: secondsPerHour,
  flowIntervalSeconds: secondsPerHour
}

/** Long enough for the slowest disk to come back, short enough that nobody notices that we waited. */
const reconnect = Schedule.min([Schedule.exponential("250 millis"), Schedule.spaced("10 seconds")]).pipe(
  Schedule.jittered
)

const textField = (cause: unknown, field: string): string =>
  Predicate.hasProperty(cause, field) && typeof cause[field] === "string" ? cause[field] : ""

// 28: credentials; 3D000: no such database; 42501: not permitted. An assertion: a name that no queue can have.
const isRefusal = (code: string): boolean => code.startsWith("28") || ["3D000", "42501", "ERR_ASSERTION"].includes(code)

/** Our error for the library's, which are PostgreSQL's mostly. They name no credentials. */
export const toBrokerError =
  (address: string) =>
  (cause: unknown): BrokerError => {
    const code = textField(cause, "code")
    const detail = `embedded broker at ${address}: ${textField(cause, "message") || code || String(cause)}`
    if (/^Queue .* does not exist$/.test(textField(cause, "message"))) {
      return new BrokerError({ reason: new Unroutable({ detail }) })
    }
    return new BrokerError({ reason: isRefusal(code) ? new BrokerRefused({ detail }) : new BrokerAway({ detail }) })
  }

const addressOf = (url: Redacted.Redacted): string => {
  const { hostname, port, pathname } = new URL(Redacted.value(url))
  return `${hostname}:${port || 5432}${pathname}`
}

// Finds claims that have lapsed. One process at a time: IF NOT EXISTS alone fails when two look at once.
const claimsIndex = `
  SELECT pg_advisory_xact_lock(hashtext('${schema}'));
  CREATE INDEX IF NOT EXISTS paystream_claims ON ${schema}.job (name, heartbeat_on) WHERE state = 'active'`

const prepare = (boss: PgBoss) => boss.start().then(() => boss.getDb().executeSql(claimsIndex))

/** An outage shows at every connection and at every attempt: one line of it is enough. */
const repeatAfterMillis = 10_000

const makeReporter = () => {
  let lastMillis = Number.NEGATIVE_INFINITY
  return Effect.fnUntraced(function* (error: BrokerError) {
    const nowMillis = yield* Clock.currentTimeMillis
    const isRepeated = nowMillis - lastMillis < repeatAfterMillis
    lastMillis = nowMillis
    yield* isRepeated ? Effect.logDebug(error.message) : Effect.logWarning(error.message)
  })
}

const stop = (boss: PgBoss) =>
  Effect.promise(() => boss.stop({ graceful: false })).pipe(Effect.timeoutOption("5 seconds"), Effect.ignoreCause)

/** Connects, and makes or upgrades the tables; a database that is away is waited for. */
export const make = Effect.fnUntraced(function* (
  url: Redacted.Redacted
): Effect.fn.Return<JobQueue, BrokerError, Scope.Scope> {
  const address = addressOf(url)
  const toError = toBrokerError(address)
  const report = makeReporter()
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const start = Effect.tryPromise({
    try: async () => {
      const boss = new PgBoss({ ...options, connectionString: Redacted.value(url) })
      // without a listener an error of its timers or of an idle connection would end the process
      boss.on("error", (cause) => void runFork(report(toError(cause))))
      boss.on("warning", (warning) => void runFork(Effect.logDebug(warning.message)))
      await prepare(boss).catch((cause) => boss.stop({ graceful: false }).then(() => Promise.reject(cause)))
      return boss
    },
    catch: toError
  })
  const waited = start.pipe(
    Effect.tapError((error) => (error.isRetryable ? report(error) : Effect.void)),
    Effect.retry({ schedule: reconnect, while: (error) => error.isRetryable })
  )
  const boss = yield* Effect.acquireRelease(waited, stop, { interruptible: true })
  const use: JobQueue["use"] = (call) =>
    Effect.uninterruptible(Effect.tryPromise({ try: () => call(boss), catch: toError }))
  return { address, use, policies: new Map() }
})
