/** The table `dead_letter_replays`: which dead letters of a topic were put back, by whom and when. */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"

/** Migration 7. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS dead_letter_replays (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    written_at timestamptz NOT NULL,
    replay_id text NOT NULL,
    replayed_by text NOT NULL,
    replayed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset, written_at)
  )`
})
