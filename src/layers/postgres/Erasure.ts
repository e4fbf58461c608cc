/**
 * Erases what is personal from all tables, in small statements: fields are replaced, rows stay. Amounts, ids and states
 * are kept for the books, and so is what is still under way.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { type ErasedTable, erased, idFields, type Subject } from "../../domain/Erasure.ts"
import { texts } from "./OutboxStatements.ts"
import { ended } from "./PaymentIntentsTable.ts"

export interface ErasureOptions {
  readonly subject: Subject
  /** Names of personal fields, in small letters. */
  readonly fields: ReadonlyArray<string>
  /** Only says what would be erased. */
  readonly isDryRun: boolean
}

/** Rows that one statement looks at: no lock is held for long. */
const window = 5000

/** Where in a JSON value the subject is named: a path with the variable `$who`. */
const pathOf = ({ kind, value }: Subject, fields: ReadonlyArray<string>): string => {
  const names = kind === "payer" ? fields : idFields[kind]
  // An id may be written as a number, and so may a document.
  const isNumber = /^(0|[1-9]\d{0,30})$/.test(value)
  return `$.** ? (@.type() == "object").keyvalue() ? (@.key like_regex "^(${names.join("|")})$" flag "i")
    .value.** ? (@ == $who${isNumber ? ` || @ == ${value}` : ""})`
}

/** A table whose rows hold JSON. */
interface JsonTable {
  readonly table: string
  /** The primary key, each column with its type. */
  readonly key: ReadonlyArray<readonly [column: string, type: string]>
  /** What holds JSON, and its type. */
  readonly column: string
  readonly type: "jsonb" | "text"
  /** Which rows are looked at. */
  readonly among: string
  /** The column that names the payment or the transaction, as text. */
  readonly id: string
  /** Rows that are still needed as they are. */
  readonly needed: string
}

const jsonTables: ReadonlyArray<JsonTable> = [
  {
    table: "payments",
    key: [["id", "bigint"]],
    column: "payload",
    type: "jsonb",
    among: "true",
    id: "message_id",
    needed: "false"
  },
  {
    table: "outbox_events",
    key: [["id", "uuid"]],
    column: "payload",
    type: "jsonb",
    among: "true",
    id: "key",
    needed: "published_at IS NULL AND skipped_at IS NULL"
  },
  {
    table: "idempotency_keys",
    key: [
      ["scope", "text"],
      ["key", "text"]
    ],
    column: "answer",
    type: "text",
    among: "answer LIKE '{%'",
    id: "NULL::text",
    needed: "false"
  }
]

interface Found {
  /** The key of the last row that was looked at; `null` when there was none. */
  readonly last: ReadonlyArray<string> | null
  readonly rows: number
  readonly left: number
}

/** For a window of rows behind a key. Its parameters: path, who, whether an id names them, fields, then the key. */
const statementOf = ({ among, column, id, key, needed, table, type }: JsonTable, isDryRun: boolean): string => {
  const columns = key.map(([name]) => name).join(", ")
  const behind = key.map(([, keyType], place) => `$${place + 5}::text::${keyType}`).join(", ")
  const isSame = key.map(([name]) => `${table}.${name} = found.${name}`).join(" AND ")
  return `
    WITH seen AS (
      SELECT ${columns}, ${column}, ${id} AS own_id, (${needed}) AS needed, (${among}) AS has_json FROM ${table}
      WHERE $5::text IS NULL OR (${columns}) > (${behind}) ORDER BY ${columns} LIMIT ${window}
    ), json AS MATERIALIZED (
      SELECT *, ${column}::jsonb AS value FROM seen WHERE has_json
    ), found AS MATERIALIZED (
      SELECT *, paystream_erased(value, $4) AS rest FROM json
      WHERE ($3 AND own_id = $2) OR jsonb_path_exists(value, $1::jsonpath, jsonb_build_object('who', $2::text), true)
    ), personal AS (SELECT * FROM found WHERE rest IS DISTINCT FROM value),
    changed AS (${
      isDryRun
        ? "SELECT FROM personal WHERE NOT needed"
        : `UPDATE ${table} SET ${column} = found.rest::${type} FROM personal AS found
          WHERE ${isSame} AND NOT found.needed RETURNING 1`
    })
    SELECT (SELECT jsonb_build_array(${key.map(([name]) => `${name}::text`).join(", ")}) FROM seen
        ORDER BY ${columns} DESC LIMIT 1) AS last,
      (SELECT count(*)::int FROM changed) AS rows, (SELECT count(*)::int FROM personal WHERE needed) AS left`
}

const eraseJson = Effect.fnUntraced(function* (table: JsonTable, { fields, isDryRun, subject }: ErasureOptions) {
  const sql = yield* SqlClient.SqlClient
  const statement = statementOf(table, isDryRun)
  const given = [pathOf(subject, fields), subject.value, subject.kind !== "payer", texts(fields)]
  let [rows, left] = [0, 0]
  let after: Found["last"] = table.key.map(() => null as never)
  while (after !== null) {
    const [found]: ReadonlyArray<Found> = yield* sql.unsafe<Found>(statement, [...given, ...after])
    rows += found?.rows ?? 0
    left += found?.left ?? 0
    after = found?.last ?? null
  }
  return { table: table.table, rows, left }
})

/** Payments that have ended; of the others, the payment method is needed. */
const eraseIntents = Effect.fnUntraced(function* ({ isDryRun, subject: { kind, value } }: ErasureOptions) {
  const sql = yield* SqlClient.SqlClient
  const isOfSubject =
    kind === "payer" ? sql`payment_method = ${value}` : sql`${kind === "payment"} AND id::text = lower(${value})`
  const found = sql`
    SELECT id, ${sql.literal(ended)} AS has_ended FROM payment_intents
    WHERE ${isOfSubject} AND payment_method <> ${erased} FOR UPDATE`
  const changed = isDryRun
    ? sql`SELECT id FROM found WHERE has_ended`
    : sql`UPDATE payment_intents SET payment_method = ${erased}, idempotency_key = ${erased} FROM found
        WHERE payment_intents.id = found.id AND found.has_ended RETURNING payment_intents.id`
  const history = isDryRun
    ? sql`SELECT 1 FROM payment_events JOIN changed ON payment_id = changed.id WHERE event ? 'paymentMethod'`
    : sql`UPDATE payment_events SET event = jsonb_set(event, '{paymentMethod}', to_jsonb(${erased}::text)) FROM changed
        WHERE payment_id = changed.id AND event ? 'paymentMethod' RETURNING 1`
  const [counts] = yield* sql<{ payments: number; events: number; left: number }>`
    WITH found AS (${found}), changed AS (${changed}), history AS (${history})
    SELECT (SELECT count(*)::int FROM changed) AS payments, (SELECT count(*)::int FROM history) AS events,
      (SELECT count(*)::int FROM found WHERE NOT has_ended) AS left`
  return [
    { table: "payment_intents", rows: counts?.payments ?? 0, left: counts?.left ?? 0 },
    { table: "payment_events", rows: counts?.events ?? 0, left: 0 }
  ]
})

/** The log holds no payer; what somebody wrote beside a step may be about one. */
const eraseAudit = Effect.fnUntraced(function* ({ isDryRun, subject: { kind, value } }: ErasureOptions) {
  const sql = yield* SqlClient.SqlClient
  const isOfSubject = sql`${kind === "transaction"} AND transaction_id = ${value} AND detail <> ${erased}`
  const rows = yield* isDryRun
    ? sql`SELECT 1 FROM pix_audit_log WHERE ${isOfSubject}`
    : sql`UPDATE pix_audit_log SET detail = ${erased} WHERE ${isOfSubject} RETURNING 1`
  return { table: "pix_audit_log", rows: rows.length, left: 0 }
})

/** Erases somebody's data, or only counts it; what became of each table. Done again, it goes on where it ended. */
export const erase = Effect.fnUntraced(function* (
  options: ErasureOptions
): Effect.fn.Return<ReadonlyArray<ErasedTable>, SqlError.SqlError, SqlClient.SqlClient> {
  const json = yield* Effect.forEach(jsonTables, (table) => eraseJson(table, options))
  return [...json, ...(yield* eraseIntents(options)), yield* eraseAudit(options)]
})

/** Notes that somebody's data was erased, when, by whom and how much of it: not whose. */
export const record = Effect.fnUntraced(function* (
  { kind }: Subject,
  by: string,
  tables: ReadonlyArray<ErasedTable>
): Effect.fn.Return<void, SqlError.SqlError, SqlClient.SqlClient> {
  const sql = yield* SqlClient.SqlClient
  const counts = JSON.stringify(Object.fromEntries(tables.map(({ rows, table }) => [table, rows])))
  yield* sql`INSERT INTO erasures (erased_by, subject, tables) VALUES (${by}, ${kind}, ${counts}::text::jsonb)`
})
