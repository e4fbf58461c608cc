/** Weekly reports in PostgreSQL. Amounts are summed as `numeric`, and leave the database as text. */
import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { Transaction } from "../../domain/ports/Transaction.ts"
import { WeeklyReports } from "../../domain/ports/WeeklyReports.ts"
import { longestQueueList, type Week, type WeeklyFigures, type WeeklyReport } from "../../domain/WeeklyReport.ts"
import type { StatementOptions } from "./Statements.ts"
import * as Tables from "./Tables.ts"

type Sql = SqlClient.SqlClient

/** How an amount is written that is counted, and a currency: whatever else is there belongs to no sum. */
const amountPattern = String.raw`^\d{1,30}(\.\d{1,10})?$`
const currencyPattern = "^[A-Z]{3}$"

const within = (sql: Sql, column: string, { end, start }: Week) =>
  sql`${sql(column)} >= ${new Date(start).toISOString()}::timestamptz
    AND ${sql(column)} < ${new Date(end).toISOString()}::timestamptz`

const byQueue = (sql: Sql, week: Week) => sql<{ queue: string | null; count: bigint }>`
  SELECT source_queue AS queue, count(*) AS count FROM payments WHERE ${within(sql, "received_at", week)}
  GROUP BY source_queue ORDER BY count DESC, queue`

// A row for what has no amount, too.
const byCurrency = (sql: Sql, week: Week) => sql<{ currency: string | null; count: bigint; amount: string | null }>`
  SELECT currency, count(*) AS count, sum(amount::numeric)::text AS amount FROM (
    SELECT CASE WHEN is_amount THEN payload->>'currency' END AS currency,
      CASE WHEN is_amount THEN payload->>'amount' END AS amount
    FROM payments CROSS JOIN LATERAL (SELECT coalesce(
      payload->>'amount' ~ ${amountPattern} AND payload->>'currency' ~ ${currencyPattern}, false) AS is_amount) AS looked
    WHERE ${within(sql, "received_at", week)}
  ) AS payment GROUP BY currency ORDER BY currency`

const byOutcome = (sql: Sql, week: Week) => sql<{
  outcome: string
  currency: string
  count: bigint
  required: bigint
  amount: string
}>`
  SELECT status AS outcome, currency, count(*) AS count, count(*) FILTER (WHERE compensation_required) AS required,
    round(sum(amount_minor) / 100, 2)::text AS amount
  FROM payment_intents WHERE ${within(sql, "created_at", week)} GROUP BY status, currency ORDER BY status, currency`

const beside = (sql: Sql, week: Week) => sql<{ put_back: bigint; unpublished: bigint; refused: bigint }>`
  SELECT (SELECT count(*) FROM dead_letter_replays WHERE ${within(sql, "replayed_at", week)}) AS put_back,
    count(*) AS unpublished, count(*) FILTER (WHERE attempts > 0) AS refused
  FROM outbox_events WHERE published_at IS NULL AND ${within(sql, "created_at", week)}`

type Found<Statement extends (sql: Sql, week: Week) => Effect.Effect<unknown, unknown>> = Effect.Success<
  ReturnType<Statement>
>

const sumOf = (counts: ReadonlyArray<bigint>): number => Number(counts.reduce((sum, count) => sum + count, 0n))

const paymentsOf = (
  queues: Found<typeof byQueue>,
  currencies: Found<typeof byCurrency>
): WeeklyFigures["payments"] => ({
  stored: sumOf(queues.map(({ count }) => count)),
  byQueue: queues.slice(0, longestQueueList).map(({ count, queue }) => ({ queue: queue ?? "", count: Number(count) })),
  inOtherQueues: sumOf(queues.slice(longestQueueList).map(({ count }) => count)),
  amounts: currencies.flatMap(({ amount, count, currency }) =>
    currency === null || amount === null ? [] : [{ currency, count: Number(count), amount }]
  ),
  withoutAmount: sumOf(currencies.filter(({ currency }) => currency === null).map(({ count }) => count))
})

const make = Effect.fnUntraced(function* (options: StatementOptions) {
  const { run, runLong, sql } = yield* Tables.make(options)
  return WeeklyReports.of({
    figures: Effect.fnUntraced(function* (week) {
      const payments = paymentsOf(yield* runLong(byQueue(sql, week)), yield* runLong(byCurrency(sql, week)))
      const outcomes = yield* runLong(byOutcome(sql, week))
      const [counts] = yield* runLong(beside(sql, week))
      return {
        payments,
        sagas: {
          byOutcome: outcomes.map(({ required: _, ...one }) => ({ ...one, count: Number(one.count) })),
          compensationRequired: sumOf(outcomes.map(({ required }) => required))
        },
        deadLetters: { putBack: Number(counts?.put_back ?? 0n) },
        outbox: { unpublished: Number(counts?.unpublished ?? 0n), refused: Number(counts?.refused ?? 0n) }
      }
    }),
    find: ({ start }) =>
      Effect.map(
        run(sql<{ report: WeeklyReport }>`
          SELECT report FROM weekly_reports WHERE week = ${new Date(start).toISOString()}::timestamptz`),
        ([row]) => row?.report
      ),
    keep: ({ start }, report) =>
      Effect.andThen(
        Transaction,
        Effect.map(
          run(sql`INSERT INTO weekly_reports (week, report)
            VALUES (${new Date(start).toISOString()}::timestamptz, ${JSON.stringify(report)}::json)
            ON CONFLICT DO NOTHING RETURNING 1`),
          (rows) => rows.length > 0
        )
      )
  })
})

/** On a pool of connections; connects when first used. */
export const layer = (options: StatementOptions): Layer.Layer<WeeklyReports, never, SqlClient.SqlClient> =>
  Layer.effect(WeeklyReports, make(options))
