/** Payments in PostgreSQL. All times are the database's: the clocks of those who ask do not matter. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { isFinal, type Status } from "../../domain/PaymentState.ts"
import {
  type Append,
  type ClaimedPayment,
  type NewPayment,
  type OverduePayment,
  type Payment,
  PaymentIntents,
  type PaymentStep,
  type Standing
} from "../../domain/ports/PaymentIntents.ts"
import { Transaction } from "../../domain/ports/Transaction.ts"
import * as Sandbox from "../../domain/Sandbox.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { isUuid } from "../../domain/Uuid.ts"
import { removing } from "./OldRows.ts"
import { texts } from "./OutboxStatements.ts"
import { ended, quietSince, underWay, unsettled } from "./PaymentIntentsTable.ts"
import { eventsOf, type PaymentRow, paymentOf, textsOf } from "./PaymentRows.ts"
import { toRowError } from "./SqlState.ts"
import * as Statements from "./Statements.ts"

type Port = PaymentIntents["Service"]
type Run = <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, StoreError>

/** What is no uuid names no payment; PostgreSQL would call it an error. */
const known = <A>(id: string, orElse: A, ask: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> =>
  isUuid(id) ? ask : Effect.succeed(orElse)

const after = (sql: SqlClient.SqlClient, duration: Duration.Duration) =>
  sql`clock_timestamp() + ${Duration.toMillis(duration)}::float8 * interval '1 millisecond'`
/** As the statement began: an index is looked up with that, and not with a clock that goes on while it looks. */
const before = (sql: SqlClient.SqlClient, duration: Duration.Duration) =>
  sql`statement_timestamp() - ${Duration.toMillis(duration)}::float8 * interval '1 millisecond'`
const millis = (sql: SqlClient.SqlClient, column: string) =>
  sql`(extract(epoch FROM ${sql.literal(column)}) * 1000)::float8`

/** Milliseconds until then; 0 where it is over, or never was. */
const left = (sql: SqlClient.SqlClient, column: string) =>
  sql`greatest(0, coalesce(${millis(sql, `${column} - clock_timestamp()`)}, 0))`

const columns = (sql: SqlClient.SqlClient) => sql`
  payment.id, payment.idempotency_key, payment.version, ${millis(sql, "payment.created_at")} AS created,
  ${millis(sql, "payment.updated_at")} AS updated,
  coalesce((SELECT jsonb_agg(event ORDER BY version) FROM payment_events WHERE payment_id = payment.id), '[]') AS events`

// Looking

const lookingAt = (sql: SqlClient.SqlClient, run: Run, address: string) => {
  const one = (rows: ReadonlyArray<PaymentRow>): Effect.Effect<Payment | undefined, StoreError> => {
    const [row] = rows
    return row === undefined ? Effect.undefined : paymentOf(address, row)
  }
  const find = (id: string) =>
    run(sql<PaymentRow>`
      SELECT ${columns(sql)} FROM payment_intents AS payment WHERE id = ${id} AND deleted_at IS NULL`)
  const history = (id: string) =>
    run(sql<{ event: unknown; at: number }>`
      SELECT event, ${millis(sql, "at")} AS at FROM payment_events WHERE payment_id = ${id} ORDER BY version`)
  const list = (statuses: ReadonlyArray<Status>, limit: number) =>
    run(sql<PaymentRow & { lease_left: number; postponed: number }>`
      SELECT ${columns(sql)}, ${left(sql, "lease_until")} AS lease_left, ${left(sql, "postponed_until")} AS postponed
      FROM payment_intents AS payment
      WHERE deleted_at IS NULL
        AND (${statuses.length === 0} OR status = ANY (${texts(statuses)}))
      ORDER BY created_at DESC, id DESC LIMIT ${limit}`)

  return {
    find: (id) => known(id, undefined, Effect.flatMap(find(id), one)),
    findByReference: (reference) =>
      Effect.flatMap(
        run(sql<PaymentRow>`
          SELECT ${columns(sql)} FROM payment_intents AS payment
          WHERE provider_reference = ${reference} AND deleted_at IS NULL`),
        one
      ),
    history: Effect.fnUntraced(function* (id): Effect.fn.Return<ReadonlyArray<PaymentStep>, StoreError> {
      const rows = yield* known(id, [], history(id))
      const events = rows.map(({ event }) => event)
      const steps = yield* eventsOf(address, id, events)
      return steps.map((event, place) => ({ event, atMillis: rows[place]?.at ?? 0 }))
    }),
    list: (statuses, limit) =>
      Effect.gen(function* () {
        const [payments, unreadable] = yield* Effect.partition(yield* list(statuses, limit), (row) =>
          Effect.map(paymentOf(address, row), (payment) => ({
            ...payment,
            leaseLeftMillis: row.lease_left,
            postponedMillis: row.postponed
          }))
        )
        // One that a later version has written to hides none of the others.
        yield* Effect.forEach(unreadable, (error) => Effect.logWarning(error.message), { discard: true })
        return payments
      })
  } satisfies Partial<Port>
}

// Storing

const insideOf = (what: string): Effect.Effect<void, never, Transaction> =>
  Effect.flatMap(Transaction, ({ isOpen }) =>
    isOpen() ? Effect.void : Effect.die(new Error(`${what} after the end of its transaction`))
  )

const storingIn = (sql: SqlClient.SqlClient, run: Run): Pick<Port, "create" | "append"> => {
  const create = ({ event, id, idempotencyKey }: NewPayment) => sql`
    WITH created AS (
      INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id)
      VALUES (${id}, ${event.amount}, ${event.currency}, ${idempotencyKey}, ${event.paymentMethod}, ${event.orderId})
      ON CONFLICT (id) DO NOTHING RETURNING id
    )
    INSERT INTO payment_events (payment_id, version, event)
    SELECT id, 1, ${textsOf([event])[0]}::jsonb FROM created RETURNING version`
  // Who waited for the row looks at it again as it is then, so that of two appends on one version one finds it.
  const append = ({ events, id, state, token, version }: Append) => sql<{ appended: number }>`
    WITH changed AS (
      UPDATE payment_intents SET status = ${state.status}, provider_reference = ${state.reference ?? null},
        failure = ${state.failure ?? null}, compensation_required = ${state.isCompensationRequired},
        quarantined = ${state.quarantine !== undefined},
        version = version + ${events.length}, updated_at = clock_timestamp(), postponed_until = NULL,
        lease_until = CASE WHEN ${isFinal(state)}::boolean THEN NULL ELSE lease_until END
      WHERE id = ${id} AND version = ${version} AND deleted_at IS NULL
        AND (${token ?? null}::bigint IS NULL OR (lease_token = ${token ?? null}::bigint AND lease_until IS NOT NULL))
      RETURNING id
    ), added AS (
      INSERT INTO payment_events (payment_id, version, event)
      SELECT id, ${version} + place, event::jsonb
      FROM changed CROSS JOIN unnest(${texts(textsOf(events))}) WITH ORDINALITY AS new(event, place)
    )
    SELECT count(*)::int AS appended FROM changed`

  return {
    create: (payment) =>
      Effect.andThen(
        insideOf("PaymentIntents.create"),
        Effect.map(run(create(payment)), (rows) => rows.length > 0)
      ),
    append: (given) =>
      Effect.andThen(
        insideOf("PaymentIntents.append"),
        known(
          given.id,
          false,
          Effect.map(run(append(given)), ([row]) => row?.appended === 1)
        )
      )
  }
}

// Claiming

type Claiming = Pick<Port, "claim" | "renew" | "postpone" | "release">

const claimingIn = (sql: SqlClient.SqlClient, run: Run, address: string, find: Port["find"]): Claiming => {
  const claimed = (id: string, lease: Duration.Duration) =>
    run(sql<PaymentRow & { lease_token: bigint }>`
      WITH payment AS (
        UPDATE payment_intents SET lease_token = lease_token + 1, lease_until = ${after(sql, lease)}
        WHERE id = ${id} AND deleted_at IS NULL AND (lease_until IS NULL OR lease_until <= clock_timestamp())
        RETURNING *
      )
      SELECT ${columns(sql)}, lease_token FROM payment`)
  const claim = Effect.fnUntraced(function* (
    id: string,
    lease: Duration.Duration
  ): Effect.fn.Return<ClaimedPayment | undefined, StoreError> {
    const [row] = yield* claimed(id, lease)
    if (row === undefined) return undefined
    // Who waited for somebody else's append has its version, and not yet its events.
    const payment = row.events.length === row.version ? yield* paymentOf(address, row) : yield* find(id)
    return payment === undefined ? undefined : { ...payment, token: row.lease_token }
  })
  const held = ({ id, token }: Pick<ClaimedPayment, "id" | "token">) =>
    sql`id = ${id} AND lease_token = ${token} AND lease_until IS NOT NULL`

  return {
    claim: (id, lease) => known(id, undefined, claim(id, lease)),
    renew: (claim, lease) =>
      Effect.map(
        run(sql`UPDATE payment_intents SET lease_until = ${after(sql, lease)} WHERE ${held(claim)} RETURNING id`),
        (rows) => rows.length > 0
      ),
    postpone: (claim, wait) =>
      Effect.asVoid(run(sql`UPDATE payment_intents SET postponed_until = ${after(sql, wait)} WHERE ${held(claim)}`)),
    release: (claim) => Effect.asVoid(run(sql`UPDATE payment_intents SET lease_until = NULL WHERE ${held(claim)}`))
  }
}

// All of them

const nothing: Standing = { inDoubt: 0, oldestInDoubtMillis: 0, compensating: 0, required: 0, stuck: 0 }

const isNobodys = (sql: SqlClient.SqlClient) => sql`(lease_until IS NULL OR lease_until <= statement_timestamp())`

const isStuck = (sql: SqlClient.SqlClient, age: Duration.Duration) => sql`
  ${sql.literal(underWay)} AND ${sql.literal(quietSince)} <= ${before(sql, age)} AND deleted_at IS NULL AND ${isNobodys(sql)}`

const overdueIn = (sql: SqlClient.SqlClient, run: Run): Pick<Port, "overdue" | "unsettled" | "stuck"> => {
  const since = sql.literal(quietSince)
  // Microseconds, as PostgreSQL keeps them: milliseconds would come by some twice, or never.
  const overdue = (age: Duration.Duration) => sql`
    SELECT id, status, (extract(epoch FROM ${since}) * 1000000)::bigint AS since,
      (extract(epoch FROM statement_timestamp() - ${since}) * 1000)::float8 AS "quietMillis"
    FROM payment_intents WHERE ${isStuck(sql, age)} AND NOT quarantined`
  return {
    overdue: (age, limit, after) => {
      const isAfter =
        after === undefined
          ? sql``
          : sql`AND (${since}, id) >
              ('epoch'::timestamptz + ${after.since}::bigint * interval '1 microsecond', ${after.id}::uuid)`
      return run(sql<OverduePayment>`${overdue(age)} ${isAfter} ORDER BY ${since}, id LIMIT ${limit}`)
    },
    unsettled: (age, limit) =>
      run(sql<OverduePayment>`
        ${overdue(age)} AND ${sql.literal(unsettled)} ORDER BY ${since} DESC, id DESC LIMIT ${limit}`),
    stuck: (age, limit) =>
      Effect.map(
        run(sql<{ id: string }>`
          SELECT id FROM payment_intents WHERE ${isStuck(sql, age)} ORDER BY ${since}, id LIMIT ${limit}`),
        (rows) => rows.map(({ id }) => id)
      )
  }
}

const upkeepOf = (sql: SqlClient.SqlClient, run: Run): Pick<Port, "standing" | "forget"> => ({
  standing: (stuckAfter) =>
    Effect.map(
      run(sql<Standing>`
        SELECT count(*) FILTER (WHERE status = 'in_doubt')::int AS "inDoubt",
          coalesce(extract(epoch FROM clock_timestamp() - min(updated_at) FILTER (WHERE status = 'in_doubt')) * 1000, 0)::float8
            AS "oldestInDoubtMillis",
          count(*) FILTER (WHERE status = 'compensating')::int AS compensating,
          count(*) FILTER (WHERE compensation_required)::int AS required,
          (SELECT count(*) FROM payment_intents WHERE ${isStuck(sql, stuckAfter)})::int AS stuck
        FROM payment_intents WHERE status IN ('in_doubt', 'compensating') AND deleted_at IS NULL`),
      ([row]) => row ?? nothing
    ),
  forget: removing(sql, run, {
    table: "payment_intents",
    key: "id",
    at: "updated_at",
    among: ended,
    // One that is asked for again would find its old charge in the sandbox's books, and money that is not its own.
    beside: sql`books AS (DELETE FROM sandbox_charges USING old WHERE reference = ${Sandbox.referenceOf("")} || old.key)`
  })
})

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { address } = options
  const { limited, prepare, run, sql } = yield* Statements.make(options)
  const bounded: Run = (statement) =>
    run(limited(Effect.mapError(statement, toRowError(address, "a payment, or its change"))))
  const looking = lookingAt(sql, bounded, address)
  return PaymentIntents.of({
    ...looking,
    ...storingIn(sql, bounded),
    ...claimingIn(sql, bounded, address, looking.find),
    ...overdueIn(sql, bounded),
    ...upkeepOf(sql, bounded),
    prepare,
    ping: Effect.asVoid(bounded(sql`SELECT 1`))
  })
})

/** Payments on a pool of connections; its tables are there once `prepare` has succeeded. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<PaymentIntents, never, SqlClient.SqlClient> =>
  Layer.effect(PaymentIntents, make(options))
