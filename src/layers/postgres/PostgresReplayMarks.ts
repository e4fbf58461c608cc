/** Replay marks in PostgreSQL: one statement for many. The table is made by migrating, not by looking at dead letters. */
import { PgTypes } from "@effect/sql-pg"
import { Effect, Layer, Result } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { type RecordPlace, type ReplayMark, ReplayMarks } from "../../domain/ports/ReplayMarks.ts"
import { StoreAway, StoreError, StoreOutdated } from "../../domain/StoreError.ts"
import { sqlStateOf, toStoreError } from "./SqlState.ts"

/** A command waits for no frozen server. */
const statementTimeout = "20 seconds"

const undefinedTable = "42P01"

// A list of texts that look like numbers is bound as text all the same.
const texts = (values: ReadonlyArray<string>) => Result.getOrThrow(PgTypes.array(values, PgTypes.OID.text))

const columns = (places: ReadonlyArray<RecordPlace>) => ({
  topics: texts(places.map(({ topic }) => topic)),
  partitions: texts(places.map(({ partition }) => String(partition))),
  offsets: texts(places.map(({ offset }) => String(offset))),
  times: texts(places.map(({ writtenAtMillis }) => new Date(writtenAtMillis).toISOString()))
})

const make = Effect.fnUntraced(function* ({ address }: { readonly address: string }) {
  const sql = yield* SqlClient.SqlClient
  const noTable = new StoreOutdated({
    detail: `PostgreSQL at ${address} lacks the table dead_letter_replays: run \`bun run main --mode=migrate\``
  })
  const unanswered = new StoreAway({
    detail: `PostgreSQL at ${address}: no answer within ${statementTimeout}`,
    code: "timeout"
  })
  const run = <A>(effect: Effect.Effect<A, SqlError.SqlError>): Effect.Effect<A, StoreError> =>
    effect.pipe(
      Effect.mapError((error) =>
        sqlStateOf(error) === undefinedTable ? new StoreError({ reason: noTable }) : toStoreError(address)(error)
      ),
      Effect.timeoutOrElse({
        duration: statementTimeout,
        orElse: () => Effect.fail(new StoreError({ reason: unanswered }))
      })
    )

  const mark = (marks: ReadonlyArray<ReplayMark>) => {
    const { offsets, partitions, times, topics } = columns(marks)
    const replays = texts(marks.map(({ replay }) => replay))
    const who = texts(marks.map(({ by }) => by))
    // In one order whoever inserts: two replays of the same letters would else wait for each other.
    return sql`
      INSERT INTO dead_letter_replays (topic, partition, record_offset, written_at, replay_id, replayed_by)
      SELECT * FROM unnest(
        ${topics}::text[], ${partitions}::text[]::integer[], ${offsets}::text[]::bigint[], ${times}::text[]::timestamptz[],
        ${replays}::text[], ${who}::text[]
      ) ORDER BY 1, 2, 3, 4
      ON CONFLICT DO NOTHING`
  }
  const find = (places: ReadonlyArray<RecordPlace>) => {
    const { offsets, partitions, times, topics } = columns(places)
    return sql<{ place: number }>`
      SELECT asked.place::integer AS place
      FROM unnest(
        ${topics}::text[], ${partitions}::text[]::integer[], ${offsets}::text[]::bigint[], ${times}::text[]::timestamptz[]
      ) WITH ORDINALITY AS asked (topic, partition, record_offset, written_at, place)
      JOIN dead_letter_replays USING (topic, partition, record_offset, written_at)`.pipe(
      Effect.map((rows) => {
        const found = new Set(rows.map(({ place }) => place))
        return places.map((_, index) => found.has(index + 1))
      })
    )
  }
  const count = ({ partition, topic }: Pick<RecordPlace, "topic" | "partition">, below: bigint) =>
    sql<{ marked: number }>`
      SELECT count(*)::integer AS marked FROM dead_letter_replays
      WHERE topic = ${topic} AND partition = ${partition} AND record_offset < ${String(below)}::bigint`
  const forget = ({ partition, topic }: Pick<RecordPlace, "topic" | "partition">, below: bigint) =>
    sql<{ removed: number }>`
      WITH removed AS (
        DELETE FROM dead_letter_replays
        WHERE topic = ${topic} AND partition = ${partition} AND record_offset < ${String(below)}::bigint
        RETURNING 1
      )
      SELECT count(*)::integer AS removed FROM removed`

  return ReplayMarks.of({
    mark: (marks) => (marks.length === 0 ? Effect.void : Effect.asVoid(run(mark(marks)))),
    find: (places) => (places.length === 0 ? Effect.succeed([]) : run(find(places))),
    count: (partition, below) => Effect.map(run(count(partition, below)), ([row]) => row?.marked ?? 0),
    forget: (partition, below) => Effect.map(run(forget(partition, below)), ([row]) => row?.removed ?? 0)
  })
})

/** On a pool of connections; connects when first used. `address` is host, port and database: for errors. */
export const layer = (options: { readonly address: string }): Layer.Layer<ReplayMarks, never, SqlClient.SqlClient> =>
  Layer.effect(ReplayMarks, make(options))
