/** The payments of one measurement: published, counted as they were stored, and gone with its scope. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { eventually } from "../../test/support/servers/eventually.ts"
import { attempt, check } from "../BenchmarkError.ts"
import type { Services } from "./Services.ts"

const bodyBytes = 200
/** So many may be unconfirmed at a time while a queue is filled. */
const publishAtOnce = 5_000

/** An empty durable queue, and an empty table; both without the traces of the measurement before. */
export const freshQueue = ({ confirmed, postgres }: Services) =>
  Effect.acquireRelease(
    attempt("make an empty queue and table", async () => {
      await postgres.query("TRUNCATE payments")
      return (await confirmed.assertQueue(`bench-${randomUUID()}`, { durable: true })).queue
    }),
    (queue) =>
      Effect.ignore(
        attempt("delete the queues", async () => {
          await confirmed.deleteQueue(queue)
          await confirmed.deleteQueue(`${queue}.dlq`)
        })
      )
  )

/** One sample payment of exactly 200 bytes. */
export const samplePayment = (id: string): Buffer => {
  const payment = { order_id: id, amount: "149.90", currency: "EUR", customer: "customer-4711", note: "" }
  return Buffer.from(JSON.stringify({ ...payment, note: "-".repeat(bodyBytes - JSON.stringify(payment).length) }))
}

/**
 * Publishes so many, each persistent and with an id of its own, waits until the broker has confirmed all, and gives the
 * id of the last.
 */
export const publish = ({ confirmed }: Services, queue: string, count: number) =>
  attempt(`publish ${count} messages`, async () => {
    let messageId = ""
    for (let published = 1; published <= count; published++) {
      messageId = randomUUID()
      confirmed.sendToQueue(queue, samplePayment(messageId), { persistent: true, messageId })
      if (published % publishAtOnce === 0) await confirmed.waitForConfirms()
    }
    await confirmed.waitForConfirms()
    return messageId
  })

/** Has the database write out what is not the contestant's work; where this role may not ask for it, it is left. */
export const calm = ({ postgres }: Services) => Effect.ignore(attempt("checkpoint", () => postgres.query("CHECKPOINT")))

const stored = `SELECT count(*)::int AS rows, count(DISTINCT message_id)::int AS ids,
  count(*) FILTER (WHERE payload->>'order_id' = message_id AND source_queue = $1)::int AS matching FROM payments`

/** Fails unless every message is stored once, with its own payload, and none is left in the queue. */
export const checkExact = Effect.fnUntraced(function* (
  { confirmed, postgres }: Services,
  queue: string,
  count: number
) {
  const {
    rows: [found]
  } = yield* attempt("count the rows", () => postgres.query(stored, [queue]))
  const said = JSON.stringify(found)
  const exact = found.rows === count && found.ids === count && found.matching === count
  yield* check(exact, `${count} messages were published, and the table holds ${said}`)
  // What a process leaves unacknowledged is back in the queue as soon as its consumer is gone.
  const { messageCount } = yield* eventually(
    Effect.tap(
      attempt("look at the queue", () => confirmed.checkQueue(queue)),
      ({ consumerCount }) => check(consumerCount === 0, `queue ${queue} still has a consumer`)
    ),
    { deadline: "10 seconds" }
  )
  yield* check(messageCount === 0, `${messageCount} messages are left in the queue`)
})
