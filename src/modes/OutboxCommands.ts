/** `outbox list | stats | retry | skip`: what operators see of the outbox, and do about it. */
import { Effect, Schema } from "effect"
import type { OrderRules } from "../domain/OutboxOrder.ts"
import { type EventSummary, Outbox, type OutboxStats } from "../domain/ports/Outbox.ts"
import { isUuid } from "../domain/Uuid.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { databaseOnly } from "./Services.ts"
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

const withOutbox = <A, E, R>(use: (outbox: Outbox["Service"], rules: OrderRules) => Effect.Effect<A, E, R>) =>
  withServices(settings, ({ outbox }, { rules }) =>
    Effect.provide(
      Outbox.use((service) => use(service, rules)),
      outbox
    )
  )

const seconds = (millis: number): string => `${(millis / 1000).toFixed(1)} s`

const nextOf = ({ nextAttemptAt, state }: EventSummary): string | undefined =>
  state === "failing" ? nextAttemptAt?.toISOString() : undefined

const recordOf = (event: EventSummary) => ({
  id: event.id,
  state: event.state,
  topic: event.topic,
  key: event.key,
  createdAt: event.createdAt.toISOString(),
  attempts: event.attempts,
  nextAttemptAt: nextOf(event),
  lastError: event.lastError
})

const rowOf = (event: EventSummary) => ({
  id: event.id,
  state: event.state,
  topic: event.topic,
  key: event.key ?? "-",
  created: event.createdAt.toISOString(),
  attempts: event.attempts,
  next: nextOf(event) ?? "-",
  error: event.lastError ?? "-"
})

/** Lists what is not published, oldest first. */
export const list = (given: { readonly dead: boolean; readonly json: boolean; readonly limit: number }) =>
  withOutbox((outbox, rules) =>
    Effect.gen(function* () {
      const found = yield* outbox.list(rules, { onlyDead: given.dead, limit: given.limit })
      const limit = { most: given.limit, which: "first" }
      yield* Answer.list(given.json, { found, record: recordOf, row: rowOf, nothing: "nothing waits", limit })
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

const statsText = (found: OutboxStats): string =>
  [
    table(counts(found)),
    ...found.openTransactions.map(
      ({ ageMillis, state, who }) =>
        `open transaction: ${who}, ${state}, ${seconds(ageMillis)}: its events are not committed yet`
    )
  ].join("\n")

/** Counts what is not published, and names who has a transaction open on the outbox. */
export const stats = (given: { readonly json: boolean }) =>
  withOutbox((outbox, rules) =>
    Effect.flatMap(outbox.stats(rules), (found) => Answer.give(given.json, found, statsText(found)))
  )

const checkIds = (ids: ReadonlyArray<string>, otherwise: string) => {
  if (ids.length === 0) return new WrongUsage({ detail: `name an event with --id${otherwise}` })
  const wrong = ids.find((id) => !isUuid(id))
  return wrong === undefined ? Effect.void : new WrongUsage({ detail: `${JSON.stringify(wrong)} is no event's id` })
}

/** What was done, to which, and why nothing was done to the others. */
interface Change {
  readonly name: string
  readonly words: string
  readonly changed: ReadonlyArray<string>
  readonly asked: ReadonlyArray<string>
  readonly otherwise: string
}

const tell = Effect.fnUntraced(function* (isJson: boolean, { asked, changed, name, otherwise, words }: Change) {
  const unchanged = asked.filter((id) => !changed.includes(id.toLowerCase()))
  yield* Answer.give(isJson, { [name]: changed, unchanged }, `${words}: ${changed.length}`)
  if (unchanged.length > 0) return yield* new UnchangedEvent({ detail: `${otherwise}: ${unchanged.join(", ")}` })
})

/** Brings failing and dead events back with all their attempts. */
export const retry = Effect.fnUntraced(function* (given: {
  readonly ids: ReadonlyArray<string>
  readonly all: boolean
  readonly json: boolean
}) {
  const { all, ids, json } = given
  if (!all) yield* checkIds(ids, ", or all with --all")
  else if (ids.length > 0) return yield* new WrongUsage({ detail: "name events with --id, or all of them with --all" })
  const changed = yield* withOutbox((outbox, rules) => outbox.retry(all ? "all" : ids, rules))
  const otherwise = "neither failing nor dead"
  yield* tell(json, { name: "retried", words: "to be tried again", changed, asked: ids, otherwise })
})

/** Lets keys go on without dead events. */
export const skip = Effect.fnUntraced(function* (given: {
  readonly ids: ReadonlyArray<string>
  readonly json: boolean
}) {
  const { ids, json } = given
  yield* checkIds(ids, "")
  const changed = yield* withOutbox((outbox, rules) => outbox.skip(ids, rules))
  yield* tell(json, { name: "skipped", words: "skipped", changed, asked: ids, otherwise: "not dead" })
})
