/** What a demonstration finds in the database of its own payments. */
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Money from "../domain/Money.ts"

/** Payments of the queue that a run has published, as they are stored. */
export const storedOf = Effect.fnUntraced(function* (run: string) {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ rows: number; distinct: number }>`
    SELECT count(*)::int AS rows, count(DISTINCT message_id)::int AS distinct
    FROM payments WHERE message_id LIKE ${`${run}-%`}`
  return found ?? { rows: 0, distinct: 0 }
})

/** A payment that is not in the table exactly once. */
export interface Inexact {
  readonly id: string
  readonly times: number
}

/** More than these say no more about what went wrong. */
export const namedAtMost = 5

/** The first payments of a run of `count` messages that are missing, or doubled. */
export const inexactOf = Effect.fnUntraced(function* (run: string, count: number) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Inexact>`
    SELECT published.id, count(stored.id)::int AS times
    FROM (SELECT number, ${run}::text || '-' || number AS id FROM generate_series(0, ${count - 1}::int) AS number) published
    LEFT JOIN payments stored ON stored.message_id = published.id
    GROUP BY published.id, published.number HAVING count(stored.id) <> 1
    ORDER BY published.number LIMIT ${namedAtMost}`
})

/** How the payments stand that a run has asked the API for. */
export interface IntentCounts {
  readonly paid: number
  /** Refused, or given back. */
  readonly failed: number
  readonly inDoubt: number
  /** Of which something is still to come. */
  readonly open: number
}

/** Counts them by what became of them. */
export const intentsOf = Effect.fnUntraced(function* (run: string) {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<IntentCounts>`
    SELECT count(*) FILTER (WHERE status = 'succeeded')::int AS paid,
      count(*) FILTER (WHERE status IN ('failed', 'compensated'))::int AS failed,
      count(*) FILTER (WHERE status = 'in_doubt')::int AS "inDoubt",
      count(*) FILTER (WHERE status NOT IN ('succeeded', 'failed', 'compensated'))::int AS open
    FROM payment_intents WHERE idempotency_key LIKE ${`${run}-%`}`
  return found ?? { paid: 0, failed: 0, inDoubt: 0, open: 0 }
})

/** Money as payments record it, beside money as the sandbox took it. */
export const booksOf = Effect.fnUntraced(function* (run: string) {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ recorded: bigint; charged: bigint; wrong: number }>`
    SELECT coalesce(sum(amount_minor) FILTER (WHERE payment.status = 'succeeded'), 0)::bigint AS recorded,
      coalesce(sum(book.charged), 0)::bigint AS charged,
      count(*) FILTER (WHERE book.charges <> (payment.status = 'succeeded')::int)::int AS wrong
    FROM payment_intents AS payment CROSS JOIN LATERAL (
      SELECT count(*)::int AS charges, sum(amount_minor) AS charged FROM sandbox_charges
      WHERE payment_id = payment.id::text AND status = 'Charged'
    ) AS book
    WHERE idempotency_key LIKE ${`${run}-%`}`
  const { charged = 0n, recorded = 0n, wrong = 0 } = found ?? {}
  return { recorded: Money.textOf(recorded), charged: Money.textOf(charged), wrong }
})

/** PIX payments of a run that are settled. */
export const settledOf = Effect.fnUntraced(function* (run: string) {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ settled: number }>`
    SELECT count(DISTINCT transaction_id)::int AS settled FROM pix_audit_log
    WHERE action = 'pix.payment.settled' AND transaction_id LIKE ${`${run}-%`}`
  return found?.settled ?? 0
})
