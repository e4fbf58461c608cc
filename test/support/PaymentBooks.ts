/** What has to be true of a town's payments, whatever has happened: counted at the provider, in PostgreSQL and in the queue. */
import { assert } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as Ground from "./OutboxGround.ts"
import { liftQuarantines } from "./PaymentsAsked.ts"
import { Provider, sql, type Town } from "./PaymentTown.ts"
import * as Queues from "./Queues.ts"
import { eventually } from "./servers/eventually.ts"

const leftOver = `SELECT payment.id::text, status, payment_method AS method, age(clock_timestamp(), updated_at)::text AS quiet,
    (SELECT string_agg(event->>'_tag', ' ' ORDER BY event.version) FROM payment_events event
     WHERE event.payment_id = payment.id) AS history
  FROM payment_intents payment WHERE status NOT IN ('succeeded', 'failed', 'compensated')`

/** Every payment has come to its end, in a while. */
const everyoneEnded = (town: Town) =>
  eventually(
    Effect.andThen(
      liftQuarantines(Redacted.make(town.ground.databaseUrl)),
      Effect.map(sql(town, leftOver), (left) => assert.deepStrictEqual(left, []))
    ),
    { deadline: "120 seconds", every: "200 millis" }
  )

interface Recorded {
  readonly id: string
  readonly status: string
  readonly amount: number
  readonly wasCharged: boolean
}

const recorded = `SELECT id::text, status, amount_minor::int AS amount, EXISTS (
    SELECT FROM payment_events event
    WHERE payment_id = payment.id AND event->>'_tag' = 'StepFinished' AND event->>'step' = 'charge'
  ) AS "wasCharged" FROM payment_intents payment`

/** One charge per payment at the most, and the provider holds the money that is recorded as taken, payment by payment. */
const moneyIsRight = Effect.fnUntraced(function* (town: Town) {
  const { provider } = yield* Provider
  const { payments: books } = yield* provider.report
  const payments = yield* sql<Recorded>(town, recorded)
  const none = { intents: 0, charges: 0, refunds: 0, charged: 0, refunded: 0 }
  const wrong = payments.filter(({ amount, id, status, wasCharged }) => {
    const { charged, charges, refunded, refunds } = books[id] ?? none
    const held = status === "succeeded" ? amount : 0
    return charges > 1 || refunds > charges || charged - refunded !== held || charges > 0 !== wasCharged
  })
  assert.deepStrictEqual(
    wrong.map((payment) => ({ ...payment, ...books[payment.id] })),
    [],
    "payments with other money at the provider than recorded"
  )
  return payments
})

interface Told {
  readonly id: string
  readonly key: string
  readonly sequence: number
}

/** Every committed event has come, in the order of its payment at its first time; gives how many came again. */
const everyEventCame = Effect.fnUntraced(function* (town: Town) {
  yield* Ground.waitUntilPublished(town.ground)
  const committed = yield* sql<Told>(
    town,
    `SELECT id::text, key, (payload->>'sequence')::int AS sequence FROM outbox_events
     WHERE topic LIKE 'payment.events.%' ORDER BY key, sequence`
  )
  const messages = yield* Queues.takeAll(town.ground.brokerUrl, town.events)
  const seen = new Set<string>()
  const came = new Map<string, Array<Told>>()
  for (const { content, properties } of messages) {
    const id = String(properties.messageId)
    if (seen.has(id)) continue
    seen.add(id)
    const { paymentId, sequence } = JSON.parse(content.toString())
    const key = String(properties.headers?.key)
    assert.strictEqual(key, paymentId)
    came.set(key, [...(came.get(key) ?? []), { id, key, sequence }])
  }
  const inOrder = [...came].sort(([one], [other]) => (one < other ? -1 : 1)).flatMap(([, told]) => told)
  assert.deepStrictEqual(inOrder, [...committed])
  return messages.length - seen.size
})

/** What was told of each payment is what its history comes to: no status without its event. */
const everyStatusWasTold = Effect.fnUntraced(function* (town: Town) {
  const untold = yield* sql(
    town,
    `SELECT id::text, status FROM payment_intents payment WHERE status IS DISTINCT FROM (
       SELECT payload->>'status' FROM outbox_events
       WHERE key = payment.id::text AND topic LIKE 'payment.events.%'
       ORDER BY (payload->>'sequence')::int DESC LIMIT 1
     )`
  )
  assert.deepStrictEqual(untold, [])
})

/** Waits until all has come to its end, and checks all of it; `asked` are the ids that clients were given. */
export const check = Effect.fnUntraced(function* (town: Town, asked: ReadonlyArray<string>) {
  yield* everyoneEnded(town)
  const payments = yield* moneyIsRight(town)
  assert.deepStrictEqual(payments.map(({ id }) => id).sort(), [...new Set(asked)].sort())
  const repeats = yield* everyEventCame(town)
  yield* everyStatusWasTold(town)
  const byStatus = Object.groupBy(payments, ({ status }) => status)
  const counted = Object.entries(byStatus).map(([status, some]) => `${some?.length} ${status}`)
  console.log(`${payments.length} payments: ${counted.join(", ")}; ${repeats} events came again`)
  return payments
})
