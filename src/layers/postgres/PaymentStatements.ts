/** The statements of the payment store: one for a whole batch, and for its count in a run. */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { Fragment } from "effect/sql/Statement"
import type { StoreOutcome } from "../../domain/ports/PaymentStore.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import type { RunShare } from "../../domain/WorkerRun.ts"
import { type Attempt, contentionRetry, type Rows, undecided } from "./PaymentBatch.ts"
import { constraintOf, isContention } from "./SqlState.ts"
import { textArray } from "./TextArrays.ts"
import { withinGrant } from "./WorkerRunsTable.ts"

type Sql = SqlClient.SqlClient

const stored: StoreOutcome = { _tag: "Stored" }
const duplicate: StoreOutcome = { _tag: "Duplicate" }
const conflict: StoreOutcome = { _tag: "Conflict" }
const outOfShare: StoreOutcome = { _tag: "OutOfShare" }

/** Where a batch goes, and for which run it is counted. */
export interface Target {
  readonly queue: string
  readonly share: RunShare | undefined
}

const columns = (rows: Rows) => ({
  payloads: textArray(rows.map((row) => row.payload)),
  ids: textArray(rows.map((row) => row.id))
})

const exceedsShare = (error: SqlError.SqlError | StoreError) =>
  error._tag === "SqlError" && constraintOf(error) === withinGrant

/** An attempt for a share of a run: what it has no room for is not done at all. */
const withinShare =
  (attempt: Attempt<StoreOutcome | undefined>): Attempt<StoreOutcome | undefined> =>
  (rows) =>
    Effect.catchIf(attempt(rows), exceedsShare, () => Effect.succeed(rows.map(() => outOfShare)))

/** `Stored`, or `undefined` for a payment whose id is there already. */
export const insert = (sql: Sql, target: Target, unguarded: string | undefined): Attempt<StoreOutcome | undefined> => {
  const { queue } = target
  const inOrder = insertStatement(sql, target, unguarded, sql`input.position`)
  // Batches that deadlock over the same ids take them in one order the next time: then they only wait for each other.
  const byId = insertStatement(sql, target, unguarded, sql`input.message_id, input.position`)
  const statement = (rows: Rows) =>
    Effect.catchIf(inOrder(rows), isContention, () =>
      Effect.retry(byId(rows), { schedule: contentionRetry, while: isContention })
    )
  const attempt: Attempt<StoreOutcome | undefined> = (rows) =>
    Effect.flatMap(statement(rows), ([inserted]) => {
      if (inserted?.count === rows.length) return Effect.succeed(rows.map(() => stored))
      return Effect.match(insertedIds(sql, queue, rows, inserted?.transaction ?? ""), {
        onSuccess: (fresh) => outcomesOf(rows, fresh),
        // Committed all the same: only of those with an id is it open who stored them.
        onFailure: () => rows.map((row) => (row.id === undefined ? stored : undecided))
      })
    })
  return target.share === undefined ? attempt : withinShare(attempt)
}

// One row comes back, not one per payment: which of them were inserted is asked only if some were not. The order is
// said: a plan may turn the rows round (PostgreSQL 18 does, for an anti-join), and the first of an id must win.
const insertStatement = (sql: Sql, { queue, share }: Target, unguarded: string | undefined, order: Fragment) => {
  const notThere =
    unguarded === undefined
      ? sql``
      : sql`
    WHERE NOT EXISTS (
      SELECT FROM payments old
      WHERE old.source_queue = ${queue} AND old.message_id = input.message_id AND old.id <= ${sql.literal(unguarded)}
    )`
  const runColumn = share === undefined ? sql`` : sql`, run_id`
  const run = share === undefined ? sql`` : sql`, ${share.run.id}`
  const counted = share === undefined ? sql`` : counting(sql, share, sql`stored`, sql`SELECT count(*) FROM inserted`)
  const guarded = unguarded === undefined ? sql`` : sql`WHERE id > ${sql.literal(unguarded)}`
  return (rows: Rows) => {
    const { ids, payloads } = columns(rows)
    return sql<{ count: number; transaction: string }>`
      WITH inserted AS (
        INSERT INTO payments (payload, message_id, source_queue${runColumn})
        SELECT input.payload::jsonb, input.message_id, ${queue}${run}
        FROM unnest(${payloads}, ${ids}) WITH ORDINALITY AS input(payload, message_id, position)${notThere}
        ORDER BY ${order}
        ON CONFLICT (source_queue, message_id) ${guarded} DO NOTHING
        RETURNING 1
      )${counted}
      SELECT count(*)::int AS count, pg_current_xact_id()::xid::text AS transaction FROM inserted`
  }
}

/** One more step of a statement: the share's count, in the statement's own transaction. */
const counting = (sql: Sql, { holder }: RunShare, column: Fragment, count: Fragment) => sql`,
  counted AS (
    UPDATE worker_run_shares SET ${column} = ${column} + (${count}), is_idle = false WHERE holder = ${holder}::uuid
  )`

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

interface Compared {
  /** `null`: it is not there any more. */
  readonly same: boolean | null
}

const outcomeOf = ({ same }: Compared): StoreOutcome | undefined =>
  same === null ? undefined : same ? duplicate : conflict

/** For payments whose id is there already: the same payload as jsonb sees it, or another. */
export const compare = (sql: Sql, { queue, share }: Target): Attempt<StoreOutcome | undefined> =>
  share === undefined ? comparePayloads(sql, queue) : withinShare(compareAndCount(sql, queue, share))

const comparePayloads =
  (sql: Sql, queue: string): Attempt<StoreOutcome | undefined> =>
  (rows) => {
    const { ids, payloads } = columns(rows)
    return Effect.map(
      sql<Compared>`
      SELECT bool_or(there.payload::jsonb = input.payload::jsonb) AS same
      FROM unnest(${payloads}, ${ids}) WITH ORDINALITY AS input(payload, message_id, position)
      LEFT JOIN payments there ON there.source_queue = ${queue} AND there.message_id = input.message_id
      GROUP BY input.position ORDER BY input.position`,
      (compared) => compared.map(outcomeOf)
    )
  }

/** The same, with duplicates counted; what the run itself stored, and what came again, was counted then. */
const compareAndCount =
  (sql: Sql, queue: string, share: RunShare): Attempt<StoreOutcome | undefined> =>
  (rows) => {
    const { ids, payloads } = columns(rows)
    const again = textArray(rows.map(({ cameAgain }) => String(cameAgain === true)))
    return Effect.map(
      sql<Compared>`
      WITH compared AS (
        SELECT input.position, bool_or(there.payload::jsonb = input.payload::jsonb) AS same,
          bool_or(input.again::boolean AND there.run_id IS NOT DISTINCT FROM ${share.run.id}) AS is_own
        FROM unnest(${payloads}, ${ids}, ${again}) WITH ORDINALITY AS input(payload, message_id, again, position)
        LEFT JOIN payments there ON there.source_queue = ${queue} AND there.message_id = input.message_id
        GROUP BY input.position
      )${counting(sql, share, sql`duplicates`, sql`SELECT count(*) FROM compared WHERE same AND NOT is_own`)}
      SELECT same FROM compared ORDER BY position`,
      (compared) => compared.map(outcomeOf)
    )
  }
