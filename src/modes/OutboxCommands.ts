/** `outbox list | stats | retry | skip`: what operators see of the outbox, and do about it. */
import { Console, Effect, Layer, Schema } from "effect"
import type { OrderRules } from "../domain/OutboxOrder.ts"
import { Outbox, type OutboxStats } from "../domain/ports/Outbox.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { databaseOnly, services } from "./Services.ts"
import { table } from "./Table.ts"
import { WrongUsage } from "./WrongUsage.ts"

const settings = Settings.all({
  services: Settings.withDatabaseFor("`outbox`", databaseOnly),
  rules: Settings.outboxRules,
  log: Settings.logSettings
})

/** Nothing was changed for an event that was named. */
export class UnchangedEvent extends Schema.TaggedError<UnchangedEvent>()("UnchangedEvent", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

const withOutbox = <A, E>(use: (rules: OrderRules) => Effect.Effect<A, E, Outbox>) =>
  Effect.gen(function* () {
    const environment = yield* Settings.environment
    const { log, rules, services: where } = yield* Settings.load(settings, environment)
    const { outbox } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
    return yield* Effect.provide(use(rules), Layer.provideMerge(outbox, Logs.besideAnswer(log)))
  })

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

/** Lists what is not published, oldest first. */
export const list = (given: { readonly dead: boolean; readonly json: boolean; readonly limit: number }) =>
  withOutbox((rules) =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      const events = yield* outbox.list(rules, { onlyDead: given.dead, limit: given.limit })
      const rows = events.map((event) => ({
        id: event.id,
        state: event.state,
        topic: event.topic,
        key: event.key ?? "-",
        created: event.createdAt.toISOString(),
        attempts: event.attempts,
        next: event.state === "failing" ? (event.nextAttemptAt?.toISOString() ?? "-") : "-",
        error: event.lastError ?? "-"
      }))
      yield* Console.log(given.json ? JSON.stringify(events) : rows.length === 0 ? "nothing waits" : table(rows))
      if (events.length === given.limit)
        yield* Console.error(`the first ${given.limit}; --limit shows more, if there are`)
    })
  )

const counts = ({ dead, failing, held, oldestPendingMillis, pending, skipped }: OutboxStats) => [
  {
    state: "pending",
    events: pending,
    meaning: `to be published; oldest of all alive: ${seconds(oldestPendingMillis)}`
  },
  { state: "failing", events: failing, meaning: "refused by the broker, to be tried again" },
  { state: "held", events: held, meaning: "wait behind a failing or dead event of their key" },
  { state: "dead", events: dead, meaning: "used up their attempts: `outbox retry` or `outbox skip`" },
  { state: "skipped", events: skipped, meaning: "dead, and their key goes on without them" }
]

/** Counts what is not published, and names who has a transaction open on the outbox. */
export const stats = (given: { readonly json: boolean }) =>
  withOutbox((rules) =>
    Effect.gen(function* () {
      const outbox = yield* Outbox
      const found = yield* outbox.stats(rules)
      if (given.json) return yield* Console.log(JSON.stringify(found))
      yield* Console.log(table(counts(found)))
      yield* Effect.forEach(found.openTransactions, ({ ageMillis, state, who }) =>
        Console.log(`open transaction: ${who}, ${state}, ${seconds(ageMillis)}: its events are not committed yet`)
      )
    })
  )

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const checkIds = (ids: ReadonlyArray<string>, otherwise: string) => {
  if (ids.length === 0) return new WrongUsage({ detail: `name an event with --id${otherwise}` })
  const wrong = ids.find((id) => !uuid.test(id))
  return wrong === undefined ? Effect.void : new WrongUsage({ detail: `${JSON.stringify(wrong)} is no event's id` })
}

const say = (done: string, changed: ReadonlyArray<string>, ids: ReadonlyArray<string>, otherwise: string) =>
  Effect.gen(function* () {
    yield* Console.log(`${done}: ${changed.length}`)
    const left = ids.filter((id) => !changed.includes(id.toLowerCase()))
    if (left.length > 0) return yield* new UnchangedEvent({ detail: `${otherwise}: ${left.join(", ")}` })
  })

/** Brings failing and dead events back with all their attempts. */
export const retry = Effect.fnUntraced(function* (given: {
  readonly ids: ReadonlyArray<string>
  readonly all: boolean
}) {
  if (!given.all) yield* checkIds(given.ids, ", or all with --all")
  const changed = yield* withOutbox((rules) =>
    Outbox.use((outbox) => outbox.retry(given.all ? "all" : given.ids, rules))
  )
  yield* say("to be tried again", changed, given.all ? [] : given.ids, "neither failing nor dead")
})

/** Lets keys go on without dead events. */
export const skip = Effect.fnUntraced(function* (given: { readonly ids: ReadonlyArray<string> }) {
  yield* checkIds(given.ids, "")
  const changed = yield* withOutbox((rules) => Outbox.use((outbox) => outbox.skip(given.ids, rules)))
  yield* say("skipped", changed, given.ids, "not dead")
})
