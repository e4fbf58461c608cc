/** RabbitMQ as other programs use it: with the bare driver. */
import { type ConfirmChannel, connect } from "amqplib"
import { Effect } from "effect"
import { inject } from "vitest"

/** Uses a channel of a connection of its own, in which what was published is confirmed at the end. */
export const withChannel = <A>(use: (channel: ConfirmChannel) => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    const connection = await connect(inject("rabbitmqUrl"))
    const channel = await connection.createConfirmChannel()
    const work = async () => {
      const result = await use(channel)
      await channel.waitForConfirms()
      return result
    }
    return work().finally(() => connection.close())
  })
