/**
 * The payment worker's hot path as an expert writes it by hand: amqplib and pg, no framework, and none of the product's
 * care for anything that goes wrong. What it drains per second is what the product is measured against.
 */
import { type Channel, type ConsumeMessage, connect } from "amqplib"
import { Client } from "pg"

const { RABBITMQ_URL = "", DATABASE_URL = "", QUEUE_NAME = "payments", MAX_MESSAGES = "0" } = process.env

const batchSize = 500
const batchesInFlight = 2
const prefetch = batchSize * (batchesInFlight + 1)

const insert = {
  name: "insert",
  text: `INSERT INTO payments (payload, message_id, source_queue)
    SELECT payload::jsonb, message_id, $3 FROM unnest($1::text[], $2::text[]) AS input(payload, message_id)
    ON CONFLICT (source_queue, message_id) DO NOTHING`
}

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const channel: Channel = await rabbit.createChannel()
const idle = await Promise.all(Array.from({ length: batchesInFlight }, connectToPostgres))

async function connectToPostgres(): Promise<Client> {
  const client = new Client({ connectionString: DATABASE_URL })
  await client.connect()
  return client
}

interface Batch {
  readonly last: ConsumeMessage
  readonly size: number
  committed: boolean
}

const waiting: Array<ConsumeMessage> = []
/** The batches being stored, in the order in which they were taken. */
const inFlight: Array<Batch> = []
let left = Number(MAX_MESSAGES)

/** A lone message leaves at once; while a batch is being stored, the next one leaves when it is full. */
const storeWaiting = (): void => {
  while (waiting.length >= (inFlight.length === 0 ? 1 : batchSize)) {
    const client = idle.pop()
    if (client === undefined) return
    store(client, waiting.splice(0, batchSize)).catch(fail)
  }
}

const store = async (client: Client, messages: ReadonlyArray<ConsumeMessage>): Promise<void> => {
  const batch: Batch = {
    last: messages[messages.length - 1] as ConsumeMessage,
    size: messages.length,
    committed: false
  }
  inFlight.push(batch)
  const payloads = messages.map(({ content }) => checked(content.toString()))
  const ids = messages.map(({ properties }) => properties.messageId)
  await client.query({ ...insert, values: [payloads, ids, QUEUE_NAME] })
  batch.committed = true
  idle.push(client)
  acknowledge()
  storeWaiting()
}

const checked = (text: string): string => {
  JSON.parse(text)
  return text
}

/** Once for all batches that are committed with everything before them. */
const acknowledge = (): void => {
  let last: ConsumeMessage | undefined
  while (inFlight[0]?.committed) {
    const batch = inFlight.shift() as Batch
    last = batch.last
    left -= batch.size
  }
  if (last !== undefined) channel.ack(last, true)
  if (left === 0) close().catch(fail)
}

const close = async (): Promise<void> => {
  await channel.close()
  await rabbit.close()
  await Promise.all(idle.map((client) => client.end()))
}

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

await channel.prefetch(prefetch)
await channel.consume(QUEUE_NAME, (message) => {
  if (message === null) return fail("the queue is gone")
  waiting.push(message)
  storeWaiting()
})
