/**
 * One message alone: from just before it is published (no confirm is waited for) until another connection sees its
 * committed row. That connection asks again and again, since a trigger would make each insert slower; between two
 * questions it sleeps for a fifth of a millisecond, so that it takes no core from what it watches. What the asking adds
 * is part of every figure.
 */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { attempt } from "../BenchmarkError.ts"
import { ended } from "../Contestant.ts"
import { type Contestant, launch } from "./Contestant.ts"
import * as Payments from "./Payments.ts"
import type { Services } from "./Services.ts"
import { untilStored } from "./untilStored.ts"

/** Milliseconds between two messages: fifty a second, so that each is alone. */
const interval = 20
/** Not counted: the first messages find code that no runtime has compiled yet. */
const warmUp = 50
const pause = 0.2

/** The latencies of `samples` messages, in milliseconds. */
export const latency = Effect.fnUntraced(function* (services: Services, contestant: Contestant, samples: number) {
  const queue = yield* Payments.freshQueue(services)
  const child = yield* launch(contestant, services, queue, warmUp + samples)
  const latencies = yield* spaced(warmUp + samples, (id, body) => {
    services.channel.sendToQueue(queue, body, { persistent: true, messageId: id })
    return untilStored(services, id, pause)
  })
  yield* ended(contestant, child)
  yield* Payments.checkExact(services, queue, warmUp + samples)
  return latencies.slice(warmUp)
}, Effect.scoped)

/** What there is no getting below, in milliseconds: a confirm alone, and an insert with its commit alone. */
export const floors = Effect.fnUntraced(function* (services: Services, samples: number) {
  const queue = yield* Payments.freshQueue(services)
  const confirms = yield* spaced(samples, (messageId, body) => {
    services.confirmed.sendToQueue(queue, body, { persistent: true, messageId })
    return services.confirmed.waitForConfirms()
  })
  const commits = yield* spaced(samples, (id, body) =>
    services.postgres.query({ ...insert, values: [body.toString(), id] })
  )
  return { confirms, commits }
}, Effect.scoped)

const insert = {
  name: "one payment",
  text: "INSERT INTO payments (payload, message_id, source_queue) VALUES ($1, $2, 'none')"
}

/** How long each of so many payments takes, one after the other. */
const spaced = (count: number, handle: (id: string, body: Buffer) => Promise<unknown>) =>
  attempt("measure latencies", async () => {
    const figures: Array<number> = []
    while (figures.length < count) {
      const id = randomUUID()
      const body = Payments.samplePayment(id)
      const began = performance.now()
      await handle(id, body)
      figures.push(performance.now() - began)
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + interval - performance.now())))
    }
    return figures
  })
