/**
 * Who relays which slots: rows, and no lock of a session. Each step is one statement that commits by itself, so that a
 * relay that freezes between two of them holds up nobody.
 */
import { Duration, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import type { Outbox } from "../../domain/ports/Outbox.ts"
import { integers, type Run } from "./OutboxStatements.ts"

type Shares = Pick<Outbox["Service"], "enrol" | "renew" | "acquire" | "release" | "leave">

interface RosterRow {
  readonly relays: number
  readonly owned: ReadonlyArray<number>
  readonly free: ReadonlyArray<number>
}

/** The part of the outbox that is about owners. */
export const make = (sql: SqlClient.SqlClient, run: Run): Shares => {
  const until = (lease: Duration.Duration) =>
    sql`clock_timestamp() + ${Duration.toMillis(lease)}::float8 * interval '1 millisecond'`
  const isNobodys = sql`relay IS NULL OR NOT EXISTS (SELECT FROM outbox_relays WHERE outbox_relays.id = relay)`

  // A row that is prolonged at this very moment is not struck off: the condition is looked at again under its lock. One
  // that is struck off never comes back, since its relay takes a new id: so its slots are nobody's for good.
  const prolong = (relay: string, lease: Duration.Duration) => sql<{ id: string }>`
    WITH struck AS (DELETE FROM outbox_relays WHERE expires_at < clock_timestamp() AND id <> ${relay}::uuid)
    UPDATE outbox_relays SET expires_at = ${until(lease)} WHERE id = ${relay}::uuid RETURNING id`
  const roster = (relay: string) => sql<RosterRow>`
    SELECT (SELECT count(*)::int FROM outbox_relays) AS relays,
      coalesce(array_agg(slot::int) FILTER (WHERE relay = ${relay}::uuid), '{}') AS owned,
      coalesce(array_agg(slot::int) FILTER (WHERE ${isNobodys}), '{}') AS free
    FROM outbox_slots`

  return {
    enrol: (lease) =>
      Effect.map(
        run(sql<{ id: string }>`
          INSERT INTO outbox_relays (id, expires_at) VALUES (gen_random_uuid(), ${until(lease)}) RETURNING id`),
        ([row]) => row?.id ?? ""
      ),
    renew: Effect.fnUntraced(function* (relay, lease) {
      const [prolonged] = yield* run(prolong(relay, lease))
      if (prolonged === undefined) return undefined
      const [row] = yield* run(roster(relay))
      return row
    }),
    // Whoever else has taken one in between has changed its owner: that is looked at again under the row's lock.
    acquire: (relay, slots) =>
      Effect.map(
        run(sql<{ slot: number }>`
          WITH found AS MATERIALIZED (
            SELECT slot, relay FROM outbox_slots WHERE slot = ANY(${integers(slots)}) AND (${isNobodys})
          )
          UPDATE outbox_slots SET relay = ${relay}::uuid FROM found
          WHERE outbox_slots.slot = found.slot AND outbox_slots.relay IS NOT DISTINCT FROM found.relay
          RETURNING outbox_slots.slot::int AS slot`),
        (rows) => rows.map(({ slot }) => slot)
      ),
    release: (relay, slots) =>
      Effect.asVoid(
        run(sql`UPDATE outbox_slots SET relay = NULL WHERE slot = ANY(${integers(slots)}) AND relay = ${relay}::uuid`)
      ),
    leave: (relay) => Effect.asVoid(run(sql`DELETE FROM outbox_relays WHERE id = ${relay}::uuid`))
  }
}
