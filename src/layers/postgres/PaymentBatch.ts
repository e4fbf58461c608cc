/**
 * A batch of payments as SQL sees it: one insert for all, and by halves where a row is at fault, until the culprits are
 * found.
 */
import { Effect, Schedule } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { ReceivedPayment, StoreOutcome } from "../../domain/ports/PaymentStore.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { blamesRow, isContention, serverText, sqlStateOf } from "./SqlState.ts"
import { textArray } from "./TextArrays.ts"

/** Two batches that hold each other up are told apart within a few tries of some milliseconds. */
const contentionRetry = Schedule.max([Schedule.jittered(Schedule.exponential("5 millis")), Schedule.recurs(8)])

type Sql = SqlClient.SqlClient
export type Rows = ReadonlyArray<ReceivedPayment>
/** Works on rows as one: a value for each, or the failure of all. */
export type Attempt<A> = (rows: Rows) => Effect.Effect<ReadonlyArray<A>, SqlError.SqlError | StoreError>

const stored: StoreOutcome = { _tag: "Stored" }
const duplicate: StoreOutcome = { _tag: "Duplicate" }
const conflict: StoreOutcome = { _tag: "Conflict" }
export const undecided: StoreOutcome = { _tag: "Undecided" }

const columns = (rows: Rows) => ({
  payloads: textArray(rows.map((row) => row.payload)),
  ids: textArray(rows.map((row) => row.id))
})

/**
 * Runs the rows as one; where a row is at fault, by halves, so that only the culprits are set aside. What one half has
 * decided stays so when the database goes away in the other: rows without an id would be stored again.
 */
export const halving = <A>(
  rows: Rows,
  attempt: Attempt<A>
): Effect.Effect<ReadonlyArray<A | StoreOutcome>, SqlError.SqlError | StoreError> =>
  attempt(rows).pipe(
    Effect.retry({ schedule: contentionRetry, while: (error) => error._tag === "SqlError" && isContention(error) }),
    Effect.catch((error): ReturnType<typeof halving<A>> => {
      const sqlState = error._tag === "SqlError" ? sqlStateOf(error) : undefined
      if (error._tag !== "SqlError" || sqlState === undefined || !blamesRow(sqlState)) return Effect.fail(error)
      if (rows.length === 1) return Effect.succeed([{ _tag: "Rejected", sqlState, detail: serverText(error) }])
      const middle = rows.length >> 1
      const right = rows.slice(middle)
      return Effect.zipWith(
        halving(rows.slice(0, middle), attempt),
        Effect.orElseSucceed(halving(right, attempt), () => right.map(() => undecided)),
        (decided, rest) => [...decided, ...rest]
      )
    })
  )

/** `Stored`, or `undefined` for a payment whose id is there already. */
export const insert = (sql: Sql, queue: string, unguarded: string | undefined): Attempt<StoreOutcome | undefined> => {
  const inOrder = insertStatement(sql, queue, unguarded, sql`input.position`)
  // Batches that deadlock over the same ids take them in one order the next time: then they only wait for each other.
  const byId = insertStatement(sql, queue, unguarded, sql`input.message_id, input.position`)
  const statement = (rows: Rows) =>
    Effect.catchIf(inOrder(rows), isContention, () =>
      Effect.retry(byId(rows), { schedule: contentionRetry, while: isContention })
    )
  return (rows) =>
    Effect.flatMap(statement(rows), ([inserted]) => {
      if (inserted?.count === rows.length) return Effect.succeed(rows.map(() => stored))
      return Effect.match(insertedIds(sql, queue, rows, inserted?.transaction ?? ""), {
        onSuccess: (fresh) => outcomesOf(rows, fresh),
        // Committed all the same: only of those with an id is it open who stored them.
        onFailure: () => rows.map((row) => (row.id === undefined ? stored : undecided))
      })
    })
}

// One row comes back, not one per payment: which of them were inserted is asked only if some were not. The order is
// said: a plan may turn the rows round (PostgreSQL 18 does, for an anti-join), and the first of an id must win.
const insertStatement = (sql: Sql, queue: string, unguarded: string | undefined, order: Fragment) => {
  const notThere =
    unguarded === undefined
      ? sql``
      : sql`
    WHERE NOT EXISTS (
      SELECT FROM payments old
      WHERE old.source_queue = ${queue} AND old.message_id = input.message_id AND old.id <= ${sql.literal(unguarded)}
    )`
  const guarded = unguarded === undefined ? sql`` : sql`WHERE id > ${sql.literal(unguarded)}`
  return (rows: Rows) => {
    const { ids, payloads } = columns(rows)
    return sql<{ count: number; transaction: string }>`
      WITH inserted AS (
        INSERT INTO payments (payload, message_id, source_queue)
        SELECT input.payload::jsonb, input.message_id, ${queue}
        FROM unnest(${payloads}, ${ids}) WITH ORDINALITY AS input(payload, message_id, position)${notThere}
        ORDER BY ${order}
        ON CONFLICT (source_queue, message_id) ${guarded} DO NOTHING
        RETURNING 1
      )
      SELECT count(*)::int AS count, pg_current_xact_id()::xid::text AS transaction FROM inserted`
  }
}

/** The ids of the rows that a transaction inserted: PostgreSQL keeps in each row who made it. */
const insertedIds = (sql: Sql, queue: string, rows: Rows, transaction: string) =>
  Effect.map(
    sql<{ message_id: string }>`
      SELECT message_id FROM payments
      WHERE source_queue = ${queue} AND message_id = ANY(${columns(rows).ids}) AND xmin::text = ${transaction}`,
    (inserted) => new Set(inserted.map((row) => row.message_id))
  )

// `delete` answers once per id: of several rows with one id, the first is the one that was stored.
const outcomesOf = (rows: Rows, fresh: Set<string>) =>
  rows.map((row) => (row.id === undefined || fresh.delete(row.id) ? stored : undefined))

/** For payments whose id is there already: the same payload as jsonb sees it, or another. */
export const compare =
  (sql: Sql, queue: string): Attempt<StoreOutcome | undefined> =>
  (rows) => {
    const { ids, payloads } = columns(rows)
    return Effect.map(
      sql<{ same: boolean | null }>`
      SELECT bool_or(there.payload::jsonb = input.payload::jsonb) AS same
      FROM unnest(${payloads}, ${ids}) WITH ORDINALITY AS input(payload, message_id, position)
      LEFT JOIN payments there ON there.source_queue = ${queue} AND there.message_id = input.message_id
      GROUP BY input.position ORDER BY input.position`,
      (compared) => compared.map(({ same }) => (same === null ? undefined : same ? duplicate : conflict))
    )
  }

// The driver refuses such text or changes it in silence; either way no such id could be found again.
export const unstorableId = (row: ReceivedPayment): boolean =>
  row.id !== undefined && (row.id.includes("\0") || !row.id.isWellFormed())
export const badId: StoreOutcome = {
  _tag: "Rejected",
  sqlState: "22021",
  detail: "the message id is not text that PostgreSQL takes"
}

/** Fills the gaps of `outcomes`, in order, with what `decide` says of the rows that left them. */
export const fillGaps = <E>(
  rows: Rows,
  outcomes: ReadonlyArray<StoreOutcome | undefined>,
  decide: (gaps: Rows) => Effect.Effect<ReadonlyArray<StoreOutcome | undefined>, E>
): Effect.Effect<ReadonlyArray<StoreOutcome | undefined>, E> => {
  const gaps = rows.filter((_, index) => outcomes[index] === undefined)
  if (gaps.length === 0) return Effect.succeed(outcomes)
  return Effect.map(decide(gaps), (filled) => {
    let next = 0
    return outcomes.map((outcome) => outcome ?? filled[next++])
  })
}
