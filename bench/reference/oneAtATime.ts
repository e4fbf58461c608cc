/** The loop that everyone writes first: prefetch 1, and for each message one insert, one commit, one acknowledgement. */
import { type ConsumeMessage, connect } from "amqplib"
import { Client } from "pg"

const { RABBITMQ_URL = "", DATABASE_URL = "", QUEUE_NAME = "payments", MAX_MESSAGES = "0" } = process.env

const insert = {
  name: "insert",
  text: `INSERT INTO payments (payload, message_id, source_queue) VALUES ($1, $2, $3)
    ON CONFLICT (source_queue, message_id) DO NOTHING`
}

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const channel = await rabbit.createChannel()
const postgres = new Client({ connectionString: DATABASE_URL })
await postgres.connect()

let left = Number(MAX_MESSAGES)

const store = async (message: ConsumeMessage): Promise<void> => {
  const text = message.content.toString()
  JSON.parse(text)
  await postgres.query({ ...insert, values: [text, message.properties.messageId, QUEUE_NAME] })
  channel.ack(message)
  if (--left === 0) await close()
}

const close = async (): Promise<void> => {
  await channel.close()
  await rabbit.close()
  await postgres.end()
}

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

await channel.prefetch(1)
await channel.consume(QUEUE_NAME, (message) => {
  if (message === null) return fail("the queue is gone")
  store(message).catch(fail)
})
