/** What an outbox needs beside relaying: the old removed, the long open told, and how it stands shown. */
import { Clock, Duration, Effect, Schedule, Stream } from "effect"
import type { OrderRules } from "../domain/OutboxOrder.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { type OpenTransaction, Outbox } from "../domain/ports/Outbox.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { Share } from "./OutboxShare.ts"
import { supervised } from "./Supervisor.ts"

export interface UpkeepOptions {
  readonly rules: OrderRules
  readonly retention: Duration.Duration
  readonly openTransactionWarning: Duration.Duration
}

/** Rows with one statement: few enough to be done within some milliseconds. */
const removedAtOnce = 1000
const removeEvery = "10 seconds"
const lookEvery = "5 seconds"

/** Runs for ever. */
export const outboxUpkeep = (options: UpkeepOptions, share: Share) =>
  Stream.merge(
    Stream.fromEffectSchedule(removeOld(options), Schedule.spaced(removeEvery)).pipe(supervised("outbox retention")),
    Stream.unwrap(
      Effect.sync(() => {
        const watch = makeWatch(options, share)
        return Stream.fromEffectSchedule(watch, Schedule.spaced(lookEvery))
      })
    ).pipe(supervised("outbox watch"))
  )

/** Batch after batch until nothing old is left: what a rush has published a retention ago is gone as fast. */
const removeOld = Effect.fnUntraced(function* ({ retention }: UpkeepOptions) {
  const outbox = yield* Outbox
  let removed = removedAtOnce
  while (removed === removedAtOnce) {
    removed = yield* outbox.removePublished(retention, removedAtOnce)
    yield* OutboxMetrics.removedCount(removed)
  }
})

const makeWatch = ({ openTransactionWarning, rules }: UpkeepOptions, share: Share) => {
  // A session of another role hides since when it is: then it is as old as we have known it.
  let firstSeen = new Map<string, number>()
  const told = new Set<string>()
  return Effect.gen(function* () {
    yield* connect
    const outbox = yield* Outbox
    const found = yield* outbox.glance(rules)
    const now = yield* Clock.currentTimeMillis
    firstSeen = new Map(found.openTransactions.map(({ id }) => [id, firstSeen.get(id) ?? now]))
    const open = found.openTransactions.map((transaction) => ({
      ...transaction,
      ageMillis: Math.max(transaction.ageMillis, now - (firstSeen.get(transaction.id) ?? now))
    }))
    const long = open.filter(({ ageMillis }) => ageMillis >= Duration.toMillis(openTransactionWarning))
    yield* Effect.forEach(
      long.filter(({ id }) => !told.has(id)),
      tellOpen,
      { discard: true }
    )
    told.clear()
    for (const { id } of long) told.add(id)
    yield* OutboxMetrics.glance(found, share.owned().length, Math.max(0, ...open.map(({ ageMillis }) => ageMillis)))
  })
}

// A relay with nothing to publish would never learn that the broker can be reached, and never be ready.
const connect = Effect.gen(function* () {
  const broker = yield* Broker
  if ((yield* broker.status) === "away") yield* Effect.ignore(broker.depth("outbox"))
})

const tellOpen = ({ ageMillis, state, who }: OpenTransaction) =>
  Effect.logWarning("a transaction on the outbox stays open: its events wait until it ends, all others go on").pipe(
    Effect.annotateLogs({ who, state, seconds: Math.round(ageMillis / 1000) })
  )
