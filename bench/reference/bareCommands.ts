/**
 * A worker on payment commands as an expert writes it by hand: amqplib and pg, the same statements in the same number of
 * transactions as the product, sixteen payments at a time, and none of the product's care for anything that goes wrong.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { type ConsumeMessage, connect } from "amqplib"
import { Pool, type PoolClient } from "pg"

const { RABBITMQ_URL = "", DATABASE_URL = "", SANDBOX_DELAY_MILLIS = "0" } = process.env

const queue = "payment.commands.process"
const concurrency = 16
const delay = Number(SANDBOX_DELAY_MILLIS)

type Json = Readonly<Record<string, unknown>>
type Runner = Pick<PoolClient, "query">

interface Payment {
  readonly id: string
  readonly amount: string
  readonly currency: string
  readonly order: string
  readonly token: string
  version: number
  reference: string | null
}

const pool = new Pool({ connectionString: DATABASE_URL, max: concurrency })

/** A prepared statement by its name. */
const run = (runner: Runner, name: string, text: string, values: ReadonlyArray<unknown>) =>
  runner.query({ name, text, values: [...values] })

const claimKey = (id: string) =>
  run(
    pool,
    "claim key",
    `INSERT INTO idempotency_keys (scope, key, fingerprint, token, lease_until, expires_at)
     VALUES ($1, $2, $3, 1, now() + interval '30 seconds', now() + interval '1 day') RETURNING token`,
    [queue, `process/${id}`, id]
  )

const completeKey = (id: string) =>
  run(pool, "complete key", "UPDATE idempotency_keys SET answer = 'ended' WHERE scope = $1 AND key = $2", [
    queue,
    `process/${id}`
  ])

const claim = async (id: string): Promise<Payment> => {
  const { rows } = await run(
    pool,
    "claim",
    `WITH payment AS (
       UPDATE payment_intents SET lease_token = lease_token + 1, lease_until = clock_timestamp() + interval '30 seconds'
       WHERE id = $1 AND (lease_until IS NULL OR lease_until <= clock_timestamp()) RETURNING *
     )
     SELECT *, (SELECT jsonb_agg(event ORDER BY version) FROM payment_events WHERE payment_id = payment.id) AS events
     FROM payment`,
    [id]
  )
  const [row] = rows
  return {
    id,
    amount: row.amount_minor,
    currency: row.currency,
    order: row.order_id,
    token: row.lease_token,
    version: row.version,
    reference: null
  }
}

const appendEvents = (runner: Runner, payment: Payment, status: string, events: ReadonlyArray<Json>) =>
  run(
    runner,
    "append",
    `WITH changed AS (
       UPDATE payment_intents SET status = $2, provider_reference = $3, version = version + $5,
         updated_at = clock_timestamp(), postponed_until = NULL,
         lease_until = CASE WHEN $2 = 'succeeded' THEN NULL ELSE lease_until END
       WHERE id = $1 AND version = $4 AND lease_token = $6 RETURNING id
     )
     INSERT INTO payment_events (payment_id, version, event)
     SELECT id, $4 + place, event::jsonb FROM changed CROSS JOIN unnest($7::text[]) WITH ORDINALITY AS new(event, place)`,
    [
      payment.id,
      status,
      payment.reference,
      payment.version,
      events.length,
      payment.token,
      events.map((event) => JSON.stringify(event))
    ]
  )

const tell = (runner: Runner, { amount, currency, id, order, version }: Payment, status: string) =>
  run(runner, "tell", "INSERT INTO outbox_events (topic, key, payload, headers) VALUES ($1, $2, $3, $4) RETURNING id", [
    `payment.events.${status}`,
    id,
    {
      paymentId: id,
      status,
      sequence: version,
      orderId: order,
      amount,
      currency,
      occurredAt: new Date().toISOString()
    },
    { version: "1" }
  ])

/** A change of a payment, in a transaction of its own; told of where its status is another. */
const change = async (payment: Payment, status: string, events: ReadonlyArray<Json>, isTold: boolean) => {
  const client = await pool.connect()
  try {
    await client.query("BEGIN")
    await appendEvents(client, payment, status, events)
    payment.version += events.length
    if (isTold) await tell(client, payment, status)
    await client.query("COMMIT")
  } finally {
    client.release()
  }
}

const reserve = ({ id, order }: Payment, isConfirmed: boolean) =>
  run(
    pool,
    "reserve",
    `INSERT INTO order_reservations AS mine (order_id, payment_id, confirmed_at)
     VALUES ($1, $2, CASE WHEN $3 THEN clock_timestamp() END)
     ON CONFLICT (order_id) DO UPDATE SET payment_id = excluded.payment_id, updated_at = clock_timestamp(),
       confirmed_at = coalesce(mine.confirmed_at, excluded.confirmed_at)
     WHERE coalesce(mine.payment_id, excluded.payment_id) = excluded.payment_id RETURNING order_id`,
    [order, id, isConfirmed]
  )

/** The sandbox's two requests, as the product's sandbox answers them. */
const prepare = async ({ amount, currency, id }: Payment): Promise<string> => {
  const reference = `sandbox_${id}`
  if (delay > 0) await sleep(delay)
  await run(
    pool,
    "prepare",
    `INSERT INTO sandbox_charges (reference, payment_id, amount_minor, currency, payment_method, status, attempts)
     VALUES ($1, $2, $3, $4, 'pm_card_visa', 'Unconfirmed', 0) ON CONFLICT (reference) DO NOTHING`,
    [reference, id, amount, currency]
  )
  return reference
}

const confirm = async ({ reference }: Payment) => {
  if (delay > 0) await sleep(delay)
  await run(pool, "look", "SELECT payment_method, status, attempts FROM sandbox_charges WHERE reference = $1", [
    reference
  ])
  await run(
    pool,
    "confirm",
    `UPDATE sandbox_charges SET status = 'Charged', attempts = attempts + 1, charged_at = now()
     WHERE reference = $1 AND status = 'Unconfirmed' RETURNING reference`,
    [reference]
  )
}

const finished = (step: string) => ({ _tag: "StepFinished", step })

const processPayment = async (id: string) => {
  await claimKey(id)
  const payment = await claim(id)
  await reserve(payment, false)
  await change(payment, "processing", [{ _tag: "Begun" }, finished("reserve")], true)
  payment.reference = await prepare(payment)
  await change(payment, "processing", [{ _tag: "ChargePrepared", reference: payment.reference }], false)
  await confirm(payment)
  await change(payment, "processing", [finished("charge")], false)
  await reserve(payment, true)
  await change(payment, "succeeded", [finished("confirm"), { _tag: "Succeeded" }], true)
  await completeKey(id)
}

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const channel = await rabbit.createChannel()
await channel.prefetch(concurrency)

const handle = async (message: ConsumeMessage) => {
  await processPayment(JSON.parse(message.content.toString()).paymentId)
  channel.ack(message)
}

await channel.consume(queue, (message) => {
  if (message === null) return
  handle(message).catch((error: unknown) => {
    console.error(error)
    process.exit(1)
  })
})
