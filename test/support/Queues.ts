/** Queues as a stranger to the product sees them: the bare driver, with messages of any kind. */
import { type ChannelModel, type ConfirmChannel, connect, type GetMessage, type Options } from "amqplib"
import { Effect } from "effect"
import { close } from "../../src/layers/rabbitmq/Closing.ts"

/** A message to put into a queue. */
export interface Message {
  readonly id?: string
  readonly body: string | Uint8Array
  readonly headers?: Readonly<Record<string, unknown>>
}

const connected = <A>(url: string, use: (connection: ChannelModel) => Promise<A>) =>
  Effect.promise(async () => {
    const connection = await connect(url)
    // a broker that is stopped under an open connection is no error of its own: the call that waits fails
    connection.on("error", () => undefined)
    return use(connection).finally(() => close(connection).catch(() => undefined))
  })

/** Uses a channel of its own connection. */
const withChannel = <A>(url: string, use: (channel: ConfirmChannel) => Promise<A>): Effect.Effect<A> =>
  connected(url, async (connection) => {
    const channel = await connection.createConfirmChannel()
    channel.on("error", () => undefined)
    return use(channel)
  })

const send = (channel: ConfirmChannel, queue: string, messages: ReadonlyArray<Message>): Promise<void> => {
  for (const { body, headers, id } of messages) {
    channel.sendToQueue(queue, Buffer.from(body), {
      persistent: true,
      timestamp: Math.floor(Date.now() / 1000),
      headers: { ...headers },
      ...(id === undefined ? {} : { messageId: id })
    })
  }
  return channel.waitForConfirms()
}

/** Makes a queue, durable. */
export const declare = (url: string, queue: string, options: Options.AssertQueue = {}) =>
  withChannel(url, (channel) => channel.assertQueue(queue, { durable: true, ...options }))

/** Makes a queue that gets what is published to a topic, and the exchange. */
export const bind = (url: string, binding: { exchange: string; topic: string; queue: string }) =>
  withChannel(url, async (channel) => {
    await channel.assertExchange(binding.exchange, "topic", { durable: true })
    await channel.assertQueue(binding.queue, { durable: true })
    await channel.bindQueue(binding.queue, binding.exchange, binding.topic)
  })

/** Publishes to a queue, which has to be there; returns when all are confirmed. */
export const publish = (url: string, queue: string, messages: ReadonlyArray<Message>) =>
  withChannel(url, async (channel) => {
    await channel.checkQueue(queue)
    await send(channel, queue, messages)
  })

/** Messages that wait; a queue that is not there is an error. */
export const depth = (url: string, queue: string) =>
  withChannel(url, async (channel) => (await channel.checkQueue(queue)).messageCount)

/** Whether there is such a queue. */
export const exists = (url: string, queue: string) =>
  withChannel(url, (channel) =>
    channel.checkQueue(queue).then(
      () => true,
      () => false
    )
  )

export const remove = (url: string, queue: string) => withChannel(url, (channel) => channel.deleteQueue(queue))

/** All that waits in a queue, taken out of it. */
export const takeAll = (url: string, queue: string) =>
  withChannel(url, async (channel) => {
    const messages: Array<GetMessage> = []
    for (let next = await channel.get(queue, { noAck: true }); next !== false; ) {
      messages.push(next)
      next = await channel.get(queue, { noAck: true })
    }
    return messages
  })

/** Takes the first messages of a queue and gives them back, so that they come again. */
export const giveBack = (url: string, queue: string, count: number) =>
  withChannel(url, async (channel) => {
    for (let taken = 0; taken < count; taken++) await channel.get(queue)
    channel.nackAll(true)
  })

/** The id of a message that was taken. */
export const idOf = ({ properties }: GetMessage): string => String(properties.messageId)
