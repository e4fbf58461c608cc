/** Events to an exchange of RabbitMQ, and a queue that is bound to all of them. */
import { Effect } from "effect"
import { attempt } from "../BenchmarkError.ts"
import * as Services from "../worker/Services.ts"
import type { Arrival, Place, Testbed } from "./Testbed.ts"

const exchange = "pix"
const queue = "bench-outbox"

/** Started, and stopped with the scope. */
export const start = Effect.gen(function* () {
  const services = yield* Services.start
  const { databaseUrl, postgres, rabbitMqUrl, versions } = services
  const testbed: Testbed = {
    broker: "rabbitmq",
    title: `RabbitMQ ${versions.rabbitMq}, PostgreSQL ${versions.postgres}`,
    env: { RABBITMQ_URL: rabbitMqUrl, DATABASE_URL: databaseUrl },
    started: /"connected to RabbitMQ"/,
    databaseUrl,
    postgres,
    fresh: fresh(services)
  }
  return testbed
})

const fresh = ({ channel, confirmed }: Services.Services) =>
  Effect.acquireRelease(
    attempt("make an empty queue", async (): Promise<Place> => {
      await confirmed.assertExchange(exchange, "topic", { durable: true })
      await confirmed.assertQueue(queue, { durable: true })
      await confirmed.bindQueue(queue, exchange, "#")
      return {
        topic: "payments.stored",
        takeAll: (count) => attempt("read the queue", () => takeAll(channel, count))
      }
    }),
    () => Effect.ignore(attempt("delete the queue", () => confirmed.deleteQueue(queue)))
  )

/** Until so many have come, and then nothing for a while. */
const takeAll = (channel: Services.Services["channel"], count: number) =>
  new Promise<ReadonlyArray<Arrival>>((resolve, reject) => {
    const found: Array<Arrival> = []
    const tag = "bench-check"
    const end = () => void channel.cancel(tag).then(() => resolve(found), reject)
    let timer = setTimeout(end, 3000)
    channel
      .consume(
        queue,
        (message) => {
          if (message === null) return
          found.push({
            key: String(message.properties.headers?.key),
            n: JSON.parse(message.content.toString()).n
          })
          if (found.length % 1000 !== 0 && found.length < count) return
          clearTimeout(timer)
          timer = setTimeout(end, found.length < count ? 3000 : 300)
        },
        { noAck: true, consumerTag: tag }
      )
      .catch(reject)
  })
