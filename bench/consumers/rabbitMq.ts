/** The measurements' topics on a RabbitMQ of our own, seen through a bare driver. */
import { randomUUID } from "node:crypto"
import { type ChannelModel, type ConfirmChannel, connect } from "amqplib"
import { Effect } from "effect"
import { eventually } from "../../test/support/servers/eventually.ts"
import * as RabbitMqServer from "../../test/support/servers/RabbitMq.ts"
import { attempt, check } from "../BenchmarkError.ts"
import { message } from "./orders.ts"
import { group, type Testbed, type Topics } from "./Testbed.ts"

const exchange = "bench"
/** So many may be unconfirmed at a time while a queue is filled. */
const publishAtOnce = 5_000

const broker = (url: string) =>
  Effect.acquireRelease(
    attempt(`connect to ${url}`, () => connect(url, { noDelay: true })),
    (model) => Effect.ignore(attempt("disconnect", () => model.close()))
  )

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const { url } = yield* RabbitMqServer.start
  const model: ChannelModel = yield* broker(url)
  const channel: ConfirmChannel = yield* attempt("open a channel", () => model.createConfirmChannel())
  yield* attempt("make the exchange", () => channel.assertExchange(exchange, "topic", { durable: true }))
  const testbed: Testbed = {
    title: `RabbitMQ ${model.connection.serverProperties.version}`,
    env: { BROKER: "rabbitmq", RABBITMQ_URL: url, RABBITMQ_EXCHANGE: exchange },
    fill: (messages) => fill(channel, messages)
  }
  return testbed
})

const fill = Effect.fnUntraced(function* (channel: ConfirmChannel, messages: number) {
  const topic = `bench.${randomUUID()}`
  const [input, output] = [`${topic}.in`, `${topic}.out`]
  const [inputs, outputs] = [`${input}.${group}`, `${output}.check`]
  yield* Effect.acquireRelease(
    attempt("make the queues", async () => {
      for (const [topic, queue] of [
        [input, inputs],
        [output, outputs]
      ] as const) {
        await channel.assertQueue(queue, { durable: true })
        await channel.bindQueue(queue, exchange, topic)
      }
    }),
    () => Effect.ignore(attempt("delete the queues", () => deleteQueues(channel, [inputs, outputs, `${input}.dlq`])))
  )
  yield* attempt(`publish ${messages} messages`, () => publish(channel, input, messages))
  const topics: Topics = {
    env: { INPUT_TOPIC: input, OUTPUT_TOPIC: output, INPUT_QUEUE: inputs },
    outputs: depth(channel, outputs),
    pauseMillis: 20,
    // What a process leaves unacknowledged is back in the queue as soon as its consumer is gone.
    unsettled: Effect.andThen(withoutConsumer(channel, inputs), depth(channel, inputs)),
    takeOutputs: attempt("take the outputs", () => takeAll(channel, outputs))
  }
  return topics
})

const deleteQueues = async (channel: ConfirmChannel, queues: ReadonlyArray<string>): Promise<void> => {
  for (const queue of queues) await channel.deleteQueue(queue)
}

const publish = async (channel: ConfirmChannel, topic: string, messages: number): Promise<void> => {
  for (let sequence = 0; sequence < messages; sequence++) {
    const { id, key, text } = message(sequence)
    channel.publish(exchange, topic, Buffer.from(text), { persistent: true, messageId: id, headers: { key } })
    if (sequence % publishAtOnce === 0) await channel.waitForConfirms()
  }
  await channel.waitForConfirms()
}

const depth = (channel: ConfirmChannel, queue: string) =>
  Effect.map(
    attempt("look at a queue", () => channel.checkQueue(queue)),
    ({ messageCount }) => messageCount
  )

const withoutConsumer = (channel: ConfirmChannel, queue: string) =>
  eventually(
    Effect.flatMap(
      attempt("look at a queue", () => channel.checkQueue(queue)),
      ({ consumerCount }) => check(consumerCount === 0, `queue ${queue} still has a consumer`)
    ),
    { deadline: "10 seconds" }
  )

const takeAll = async (channel: ConfirmChannel, queue: string): Promise<ReadonlyArray<string>> => {
  const { messageCount } = await channel.checkQueue(queue)
  const bodies: Array<string> = []
  await new Promise<void>((resolve, reject) => {
    const take = (content: Buffer) => {
      bodies.push(content.toString())
      if (bodies.length === messageCount) resolve()
    }
    channel.consume(queue, (delivery) => delivery && take(delivery.content), { noAck: true }).catch(reject)
  })
  return bodies
}
