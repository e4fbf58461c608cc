/**
 * An outbox relay as an expert writes it by hand for one process: amqplib and pg, no framework, no order beyond that of
 * the queue, no second relay, and none of the product's care for anything that goes wrong. It remembers a position, which
 * loses events of slow transactions. While a batch is published, the next one is read and the one before it marked.
 */
import { connect } from "amqplib"
import { Client } from "pg"

const { RABBITMQ_URL = "", DATABASE_URL = "", MAX_MESSAGES = "0" } = process.env

const batchSize = 1000
const exchange = "pix"

interface Row {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: Readonly<Record<string, unknown>>
}

const select = {
  name: "select",
  text: `SELECT id, topic, key, payload::text AS payload, headers FROM outbox_events
    WHERE published_at IS NULL AND id > $1 ORDER BY id LIMIT ${batchSize}`
}
const update = {
  name: "update",
  text: "UPDATE outbox_events SET published_at = clock_timestamp() WHERE id = ANY($1::uuid[])"
}

const connected = async (): Promise<Client> => {
  const client = new Client({ connectionString: DATABASE_URL })
  await client.connect()
  return client
}

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const channel = await rabbit.createConfirmChannel()
const reader = await connected()
const marker = await connected()

let last = "00000000-0000-0000-0000-000000000000"
const read = async (): Promise<ReadonlyArray<Row>> => {
  const { rows } = await reader.query<Row>({ ...select, values: [last] })
  last = rows.at(-1)?.id ?? last
  return rows
}

let left = Number(MAX_MESSAGES)
let marked: Promise<unknown> = Promise.resolve()
let next = read()
while (left > 0) {
  const rows = await next
  next = read()
  for (const { headers, id, key, payload, topic } of rows) {
    const properties = { persistent: true, mandatory: true, messageId: id, contentType: "application/json" }
    channel.publish(exchange, topic, Buffer.from(payload), { ...properties, headers: { ...headers, key } })
  }
  await channel.waitForConfirms()
  await marked
  marked = marker.query({ ...update, values: [rows.map(({ id }) => id)] })
  left -= rows.length
}
await marked
await next
await channel.close()
await rabbit.close()
await Promise.all([reader.end(), marker.end()])
