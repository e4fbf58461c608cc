/** The outbox in PostgreSQL. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import type { NewEvent } from "../../domain/OutboxEvent.ts"
import { Outbox } from "../../domain/ports/Outbox.ts"
import { Transaction } from "../../domain/ports/Transaction.ts"
import { StoreError, StoreRefused } from "../../domain/StoreError.ts"
import * as Notifications from "./Notifications.ts"
import * as OutboxFloors from "./OutboxFloors.ts"
import * as OutboxOperations from "./OutboxOperations.ts"
import * as OutboxShares from "./OutboxShares.ts"
import { runner, texts } from "./OutboxStatements.ts"
import { channel } from "./OutboxTable.ts"
import * as OutboxTaking from "./OutboxTaking.ts"
import * as OutboxUpkeep from "./OutboxUpkeep.ts"
import { blamesRow, sqlStateOf, toStoreError } from "./SqlState.ts"
import * as Statements from "./Statements.ts"
import { inTransaction } from "./Transactions.ts"

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { address } = options
  const sql = yield* PgClient.PgClient
  const { limited } = yield* Statements.make(options)
  const run = yield* runner(options)
  const floors = OutboxFloors.make(sql, run)
  const shares = OutboxShares.make(sql, run)

  const insert = (events: ReadonlyArray<NewEvent>) => sql<{ id: string }>`
    INSERT INTO outbox_events (topic, key, payload, headers)
    SELECT topic, key, payload::jsonb, headers::jsonb
    FROM unnest(${texts(events.map(({ topic }) => topic))}, ${texts(events.map(({ key }) => key ?? null))},
      ${texts(events.map(({ payload }) => JSON.stringify(payload)))},
      ${texts(events.map(({ headers }) => JSON.stringify(headers ?? {})))}
    ) WITH ORDINALITY AS event(topic, key, payload, headers, place)
    ORDER BY place
    RETURNING id`

  const appendAll = Effect.fnUntraced(function* (events: ReadonlyArray<NewEvent>) {
    const transaction = yield* Transaction
    if (!transaction.isOpen()) return yield* Effect.die(new Error("Outbox.append after the end of its transaction"))
    if (events.length === 0) return []
    const rows = yield* insert(events).pipe(
      Effect.mapError((error) =>
        blamesRow(sqlStateOf(error)) ? refused(address, sqlStateOf(error)) : toStoreError(address)(error)
      ),
      limited
    )
    return rows.map(({ id }) => id)
  })

  const hints = Notifications.on(sql, channel).pipe(
    Stream.map(({ payload }) => (payload === "waiting" ? ("waiting" as const) : ("new" as const))),
    Stream.mapError(toStoreError(address))
  )

  return Outbox.of({
    address,
    transaction: inTransaction(sql, address),
    append: (event) => Effect.map(appendAll([event]), ([id]) => id ?? ""),
    appendAll,
    hints,
    ...OutboxTaking.make(sql, run, floors),
    ...shares,
    // As often as the lease is renewed, and beside the work.
    renew: (relay, lease) => Effect.tap(shares.renew(relay, lease), floors.probe),
    ...OutboxUpkeep.make(sql, run, floors),
    ...OutboxOperations.make(sql, run)
  })
})

const refused = (address: string, sqlState: string | undefined): StoreError => {
  const detail = `PostgreSQL at ${address}: an event cannot be stored (${sqlState}): its topic, key, payload or headers`
  return new StoreError({ reason: new StoreRefused({ detail }) })
}

/** The outbox on a pool of connections; listening opens one of its own. */
export const layer = (
  options: Statements.StatementOptions
): Layer.Layer<Outbox, never, PgClient.PgClient | SqlClient.SqlClient> => Layer.effect(Outbox, make(options))
