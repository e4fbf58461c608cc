/**
 * Topic to topic on RabbitMQ as an expert writes it by hand: amqplib, no framework. Parsed and checked on both sides,
 * published persistent and mandatory, acknowledged once confirmed, many with one acknowledgement.
 */
import { type ConsumeMessage, connect } from "amqplib"
import { checked } from "./orderCheck.ts"

const { RABBITMQ_URL = "", RABBITMQ_EXCHANGE = "", INPUT_QUEUE = "", OUTPUT_TOPIC = "" } = process.env

const prefetch = 1_600

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const consuming = await rabbit.createChannel()
const publishing = await rabbit.createConfirmChannel()

interface InHand {
  readonly message: ConsumeMessage
  confirmed: boolean
}

/** In the order in which they came. */
const inHand: Array<InHand> = []
let isAcknowledging = false

const passOn = (message: ConsumeMessage): void => {
  const one: InHand = { message, confirmed: false }
  inHand.push(one)
  const input = checked(JSON.parse(message.content.toString()))
  const output = checked(input)
  const { messageId, headers } = message.properties
  const properties = {
    persistent: true,
    mandatory: true,
    messageId: `${messageId}/bench`,
    contentType: "application/json",
    timestamp: Math.floor(Date.now() / 1000),
    headers: { key: headers?.key }
  }
  publishing.publish(RABBITMQ_EXCHANGE, OUTPUT_TOPIC, Buffer.from(JSON.stringify(output)), properties, (error) => {
    if (error !== null) return fail(error)
    one.confirmed = true
    if (isAcknowledging) return
    isAcknowledging = true
    setImmediate(acknowledge)
  })
}

/** One for all that are confirmed with everything before them. */
const acknowledge = (): void => {
  isAcknowledging = false
  const open = inHand.findIndex(({ confirmed }) => !confirmed)
  const [last] = inHand.splice(0, open === -1 ? inHand.length : open).slice(-1)
  if (last !== undefined) consuming.ack(last.message, true)
}

/** What is in hand is confirmed and acknowledged first. */
const stop = async (): Promise<void> => {
  await consuming.cancel(consumerTag)
  while (inHand.length > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  await consuming.close()
  await rabbit.close()
}

const fail = (error: unknown): void => {
  console.error(error)
  process.exit(1)
}

publishing.on("return", () => fail("an output is not routable"))
await consuming.prefetch(prefetch)
const { consumerTag } = await consuming.consume(INPUT_QUEUE, (message) =>
  message === null ? fail("the queue is gone") : passOn(message)
)
process.on("SIGTERM", () => stop().catch(fail))
