/** Finished inputs in PostgreSQL: one statement for many. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { type FinishedInput, FinishedInputs } from "../../domain/ports/FinishedInputs.ts"
import * as Availability from "../../streams/Availability.ts"
import * as Statements from "./Statements.ts"
import { textArray } from "./TextArrays.ts"

const columns = (inputs: ReadonlyArray<FinishedInput>) => ({
  consumers: textArray(inputs.map(({ consumer }) => consumer)),
  identities: textArray(inputs.map(({ identity }) => identity))
})

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { limited, prepare, run, sql } = yield* Statements.make(options)
  const { watch } = Availability.make("PostgreSQL", options.address)

  const find = (inputs: ReadonlyArray<FinishedInput>) => {
    const { consumers, identities } = columns(inputs)
    return sql<{ place: number }>`
      SELECT asked.place::int AS place
      FROM unnest(${consumers}::text[], ${identities}::text[]) WITH ORDINALITY AS asked (consumer, identity, place)
      JOIN finished_inputs USING (consumer, identity)`.pipe(
      Effect.map((rows) => {
        const found = new Set(rows.map(({ place }) => place))
        return inputs.map((_, index) => found.has(index + 1))
      })
    )
  }
  const record = (inputs: ReadonlyArray<FinishedInput>) => {
    const { consumers, identities } = columns(inputs)
    // In one order whoever inserts: two batches with the same inputs would else wait for each other.
    return sql`
      INSERT INTO finished_inputs (consumer, identity)
      SELECT DISTINCT given.consumer, given.identity
      FROM unnest(${consumers}::text[], ${identities}::text[]) AS given (consumer, identity)
      ORDER BY given.consumer, given.identity
      ON CONFLICT DO NOTHING`
  }
  const forget = (age: Duration.Duration, limit: number) => sql<{ removed: number }>`
    WITH old AS (
      SELECT consumer, identity FROM finished_inputs
      WHERE finished_at < now() - ${Duration.toMillis(age)}::float8 * interval '1 millisecond'
      ORDER BY finished_at LIMIT ${limit}
      FOR UPDATE SKIP LOCKED
    ), removed AS (
      DELETE FROM finished_inputs USING old
      WHERE finished_inputs.consumer = old.consumer AND finished_inputs.identity = old.identity
      RETURNING 1
    )
    SELECT count(*)::int AS removed FROM removed`

  return FinishedInputs.of({
    find: (inputs) => (inputs.length === 0 ? Effect.succeed([]) : watch(run(limited(find(inputs))))),
    record: (inputs) => (inputs.length === 0 ? Effect.void : Effect.asVoid(watch(run(limited(record(inputs)))))),
    forget: (age, limit) => Effect.map(run(limited(forget(age, limit))), ([row]) => row?.removed ?? 0),
    prepare: watch(prepare),
    ping: Effect.asVoid(run(limited(sql`SELECT 1`)))
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<FinishedInputs, never, SqlClient.SqlClient> =>
  Layer.effect(FinishedInputs, make(options))
