/**
 * An outbox relay as an expert writes it by hand for one process: amqplib and pg, no framework, no order beyond that of
 * the queue, no second relay, and none of the product's care for anything that goes wrong.
 */
import { connect } from "amqplib"
import { relay } from "./relayOf.ts"

const exchange = "pix"

const rabbit = await connect(process.env.RABBITMQ_URL ?? "", { noDelay: true })
const channel = await rabbit.createConfirmChannel()

await relay(async (rows) => {
  for (const { headers, id, key, payload, topic } of rows) {
    const properties = { persistent: true, mandatory: true, messageId: id, contentType: "application/json" }
    channel.publish(exchange, topic, Buffer.from(payload), { ...properties, headers: { ...headers, key } })
  }
  await channel.waitForConfirms()
})
await channel.close()
await rabbit.close()
