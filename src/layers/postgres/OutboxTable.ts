/**
 * The table `outbox_events`, and who relays it: any program may insert into it.
 *
 * The order within a key is that of `sequence`: an identity without cache is given out by one counter, so an insert that
 * begins after another's commit has the larger one, whatever the clocks say (the time in an id is no order). A number
 * is taken before its transaction commits, so no reader may go by the largest one seen.
 *
 * A row is written once and updated once or a few times, always in a column that an index's condition names: no update
 * is heap-only, and a fill factor would only make the table larger. What vacuum has to do is the row's first version, so
 * it is asked to come early and not to pause.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { slotCount } from "../../domain/OutboxEvent.ts"

/** The channel on which inserts are told. */
export const channel = "outbox_events"

// A version 7 id: milliseconds in front, so that new ids stand side by side in the index.
const makeIdFunction = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [server] = yield* sql<{ has_uuid_v7: boolean }>`
    SELECT current_setting('server_version_num')::int >= 180000 AS has_uuid_v7`
  const body = server?.has_uuid_v7
    ? "uuidv7()"
    : `encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid`
  yield* sql`CREATE FUNCTION outbox_event_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS ${sql.literal(`$$ SELECT ${body} $$`)}`
})

const makeEvents = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE outbox_events (
    id uuid PRIMARY KEY DEFAULT outbox_event_id(),
    topic text NOT NULL CHECK (octet_length(topic) BETWEEN 1 AND 255),
    key text CHECK (octet_length(key) BETWEEN 1 AND 1024),
    payload jsonb NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(headers) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    next_attempt_at timestamptz,
    skipped_at timestamptz,
    sequence bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    slot smallint NOT NULL GENERATED ALWAYS AS (
      (CASE WHEN key IS NULL THEN uuid_hash_extended(id, 0) ELSE hashtextextended(key, 0) END
        & ${sql.literal(String(slotCount - 1))})::smallint
    ) STORED
  ) WITH (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
  )`
  // What is new, what has failed or waits behind it, and what is to be removed one day.
  yield* sql`CREATE INDEX idx_outbox_events_new ON outbox_events (slot, sequence)
    WHERE published_at IS NULL AND next_attempt_at IS NULL`
  yield* sql`CREATE INDEX idx_outbox_events_waiting ON outbox_events ((coalesce(key, id::text)), sequence)
    WHERE published_at IS NULL AND next_attempt_at IS NOT NULL`
  yield* sql`CREATE INDEX idx_outbox_events_published ON outbox_events (published_at) WHERE published_at IS NOT NULL`
})

// Once for each statement, however many rows; and PostgreSQL makes one of all that a transaction says.
const makeHint = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE FUNCTION outbox_events_hint() RETURNS trigger LANGUAGE plpgsql AS ${sql.literal(
    `$$ BEGIN PERFORM pg_notify('${channel}', ''); RETURN NULL; END $$`
  )}`
  yield* sql`CREATE TRIGGER outbox_events_hint AFTER INSERT ON outbox_events
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_events_hint()`
})

const makeShares = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE outbox_relays (id uuid PRIMARY KEY, expires_at timestamptz NOT NULL) WITH (fillfactor = 50)`
  yield* sql`CREATE TABLE outbox_slots (slot smallint PRIMARY KEY, relay uuid) WITH (fillfactor = 50)`
  yield* sql`INSERT INTO outbox_slots (slot) SELECT generate_series(0, ${sql.literal(String(slotCount - 1))})`
})

/** Migration 10. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  yield* makeIdFunction
  yield* makeEvents
  yield* makeHint
  yield* makeShares
})
