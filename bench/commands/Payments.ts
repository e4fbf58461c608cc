/** The payments of one measurement: asked for, counted as they end, and checked in every table that knows of them. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { commandTopic } from "../../src/domain/PaymentMessages.ts"
import { eventually } from "../../test/support/servers/eventually.ts"
import { attempt, BenchmarkError, check } from "../BenchmarkError.ts"
import type { Services } from "../worker/Services.ts"

const tables =
  "payment_events, payment_intents, order_reservations, sandbox_charges, idempotency_keys, outbox_events, crash_marks"
/** So many may be unconfirmed at a time while the queue is filled. */
const publishAtOnce = 5_000

/** Empty tables, and an empty queue. */
export const fresh = ({ confirmed, postgres }: Services) =>
  Effect.acquireRelease(
    attempt("make empty tables and a queue", async () => {
      const { rows } = await postgres.query<{ name: string }>(
        "SELECT name FROM unnest(string_to_array($1, ', ')) AS name WHERE to_regclass(name) IS NOT NULL",
        [tables]
      )
      await postgres.query(`TRUNCATE ${rows.map(({ name }) => name).join(", ")}`)
      await confirmed.assertQueue(commandTopic, { durable: true })
      await confirmed.purgeQueue(commandTopic)
    }),
    () => Effect.ignore(attempt("delete the queue", () => confirmed.deleteQueue(commandTopic)))
  )

const ask = `WITH asked AS (
    INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id)
    SELECT id, 100 + n % 10000, 'BRL', 'key-' || n, 'pm_card_visa', 'order-' || n
    FROM unnest($1::uuid[]) WITH ORDINALITY AS new(id, n)
    RETURNING *
  )
  INSERT INTO payment_events (payment_id, version, event)
  SELECT id, 1, jsonb_build_object('_tag', 'Requested', 'amount', amount_minor::text, 'currency', currency,
    'paymentMethod', payment_method, 'orderId', order_id)
  FROM asked`

/** Asks for so many payments, each of its own amount, and puts their commands into the queue. */
export const askFor = ({ confirmed, postgres }: Services, count: number) =>
  attempt(`ask for ${count} payments`, async () => {
    const ids = Array.from({ length: count }, () => randomUUID())
    await postgres.query(ask, [ids])
    await postgres.query("VACUUM ANALYZE payment_intents")
    await postgres.query("CHECKPOINT")
    const requestedAt = new Date().toISOString()
    for (const [place, paymentId] of ids.entries()) {
      const command = { commandId: `process/${paymentId}`, type: "ProcessPayment", paymentId, requestedAt }
      const properties = { persistent: true, messageId: randomUUID(), contentType: "application/json" }
      const headers = { version: "1", key: paymentId }
      confirmed.sendToQueue(commandTopic, Buffer.from(JSON.stringify(command)), { ...properties, headers })
      if (place % publishAtOnce === 0) await confirmed.waitForConfirms()
    }
    await confirmed.waitForConfirms()
  })

/** Waits until all have succeeded. */
export const succeeded = ({ postgres }: Services, count: number, seconds: number) =>
  eventually(
    Effect.gen(function* () {
      const { rows } = yield* attempt("count", () =>
        postgres.query("SELECT count(*)::int AS count FROM payment_intents WHERE status = 'succeeded'")
      )
      if (rows[0].count < count) return yield* new BenchmarkError({ message: `${rows[0].count} of ${count} succeeded` })
    }),
    { deadline: `${seconds} seconds`, every: "200 millis" }
  )

/**
 * Payments per second by the database's clock: between the end of the first and that of the last. Starting the process
 * is outside of it.
 */
export const rate = ({ postgres }: Services) =>
  attempt("read the rate", async () => {
    const { rows } = await postgres.query(
      `SELECT (count(*) - 1)::float8 / nullif(extract(epoch FROM max(updated_at) - min(updated_at)), 0)::float8 AS rate
       FROM payment_intents`
    )
    return Number(rows[0].rate)
  })

const history = "{Requested,Begun,StepFinished,ChargePrepared,StepFinished,StepFinished,Succeeded}"

const exact = `SELECT
    (SELECT count(*) FROM payment_intents WHERE status = 'succeeded' AND version = 7)::int AS payments,
    (SELECT count(*) FROM sandbox_charges WHERE status = 'Charged' AND attempts = 1)::int AS charges,
    (SELECT count(*) FROM sandbox_charges)::int AS intents,
    (SELECT sum(amount_minor) FROM payment_intents WHERE status = 'succeeded')::text AS recorded,
    (SELECT sum(amount_minor) FROM sandbox_charges WHERE status = 'Charged')::text AS charged,
    (SELECT count(*) FROM order_reservations WHERE confirmed_at IS NOT NULL)::int AS orders,
    (SELECT count(*) FROM (
       SELECT array_agg(event->>'_tag' ORDER BY version) = $1::text[] AS told FROM payment_events GROUP BY payment_id
     ) AS payment WHERE told)::int AS histories,
    (SELECT count(*) FROM outbox_events WHERE topic = 'payment.events.succeeded')::int AS events`

/** Fails unless every payment was charged once, as it is recorded. */
export const checkExact = Effect.fnUntraced(function* ({ postgres }: Services, count: number) {
  const { rows } = yield* attempt("check", () => postgres.query(exact, [history]))
  const { charged, recorded, ...counts } = rows[0]
  for (const [name, found] of Object.entries(counts)) {
    yield* check(found === count, `${count} payments were asked for, and ${found} ${name} are there`)
  }
  yield* check(charged === recorded, `${recorded} is recorded, and ${charged} was charged`)
})
