/**
 * The table `erasures`: when somebody's data was erased, by whom and how much of it, not whose; and how a value is
 * rid of what is personal in it.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { erased, subjectKinds } from "../../domain/Erasure.ts"

const makeFunction = (signature: string, body: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`CREATE FUNCTION ${sql.literal(signature)} RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS ${sql.literal(`$$ ${body} $$`)}`
  )

// In SQL, so that what stays keeps the digits of its numbers. Every text below a personal field is replaced, and every
// other value becomes null: lists and objects keep their form for those who read them.
const within = makeFunction(
  "paystream_erased_within(value jsonb, fields text[], within boolean)",
  `BEGIN
    RETURN CASE jsonb_typeof(value)
      WHEN 'object' THEN (
        SELECT coalesce(jsonb_object_agg(key,
          paystream_erased_within(member, fields, within OR lower(key) = ANY (fields))), '{}')
        FROM jsonb_each(value) AS every(key, member))
      WHEN 'array' THEN (
        SELECT coalesce(jsonb_agg(paystream_erased_within(item, fields, within) ORDER BY place), '[]')
        FROM jsonb_array_elements(value) WITH ORDINALITY AS every(item, place))
      WHEN 'string' THEN CASE WHEN within THEN to_jsonb('${erased}'::text) ELSE value END
      ELSE CASE WHEN within THEN 'null'::jsonb ELSE value END
    END;
  END`
)

// What is nested too deep for the server to walk through is no payment that anybody reads: all of it goes.
const outermost = makeFunction(
  "paystream_erased(value jsonb, fields text[])",
  `BEGIN
    RETURN paystream_erased_within(value, fields, false);
  EXCEPTION WHEN statement_too_complex THEN
    RETURN to_jsonb('${erased}'::text);
  END`
)

const quoted = subjectKinds.map((kind) => `'${kind}'`).join(", ")

/** Migration 14. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE erasures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now(),
    erased_by text NOT NULL,
    subject text NOT NULL CHECK (subject IN (${sql.literal(quoted)})),
    tables jsonb NOT NULL
  )`
  yield* within
  yield* outermost
})
