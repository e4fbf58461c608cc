/** `--mode=commands` and `sagas` on real servers of their own: the commands' queue has one name for all. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Effect, Random, Redacted } from "effect"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import * as Chaos from "../support/Chaos.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Ground from "../support/OutboxGround.ts"
import { OwnServers } from "../support/OwnServers.ts"
import { ask, liftQuarantines, stores as storesOf } from "../support/PaymentsAsked.ts"
import * as Queues from "../support/Queues.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"

const commandQueue = "payment.commands.process"

const onOwnServers = Effect.gen(function* () {
  const { postgres, rabbitMq } = yield* OwnServers
  const databaseUrl = yield* postgres.createDatabase(`payments-${randomUUID()}`)
  const ground: Ground.Ground = {
    brokerUrl: rabbitMq.url,
    databaseUrl,
    exchange: `payments-${randomUUID().slice(0, 8)}`
  }
  yield* Ground.migrate(ground)
  return ground
})

const environmentOf = (ground: Ground.Ground) => ({
  RABBITMQ_URL: ground.brokerUrl,
  RABBITMQ_EXCHANGE: ground.exchange,
  DATABASE_URL: ground.databaseUrl,
  PAYMENT_GATEWAY: "sandbox",
  HEALTH_PORT: "0",
  PAYMENT_LEASE_SECONDS: "2",
  PAYMENT_MAX_RETRIES: "2",
  PAYMENT_RETRY_SECONDS: "0.2",
  PAYMENT_SWEEP_SECONDS: "0.5",
  PAYMENT_OVERDUE_SECONDS: "2"
})

const start = (ground: Ground.Ground, runtime: Program.Runtime, env: Readonly<Record<string, string>> = {}) =>
  Program.start({ runtime, args: ["--mode=commands"], env: { ...environmentOf(ground), ...env } })

/** Runs a command to its end. */
const run = (ground: Ground.Ground, args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function* () {
    const program = yield* Program.start({ runtime: "bun", args, env: { ...environmentOf(ground), ...env } })
    const code = yield* program.exit
    return { code, stdout: program.stdout.join("\n"), stderr: program.stderr.join("\n") }
  }).pipe(Effect.scoped)

const stores = (ground: Ground.Ground) => storesOf(Redacted.make(ground.databaseUrl))

const statuses = (ground: Ground.Ground) =>
  Effect.map(Ground.sql(ground, "SELECT id::text, status FROM payment_intents"), (rows) =>
    Object.fromEntries(rows.map(({ id, status }) => [String(id), String(status)]))
  )

const waitForAll = (ground: Ground.Ground, isThere: (status: string) => boolean) =>
  eventually(
    Effect.map(statuses(ground), (all) =>
      assert.deepStrictEqual(
        Object.values(all).filter((status) => !isThere(status)),
        []
      )
    ),
    { deadline: "60 seconds", every: "200 millis" }
  )

const isFinal = (status: string) => ["succeeded", "failed", "compensated"].includes(status)

const ends = {
  pm_card_visa: "succeeded",
  pm_card_chargeDeclined: "failed",
  sandbox_timeout: "failed",
  sandbox_timeout_charged: "succeeded",
  sandbox_error: "failed",
  sandbox_twice: "succeeded"
} as const
const methods = Object.keys(ends) as ReadonlyArray<keyof typeof ends>

/** One charge per payment, and the money that is charged and not given back is that of the payments that succeeded. */
const checkMoney = Effect.fnUntraced(function* (ground: Ground.Ground) {
  const wrong = yield* Ground.sql(
    ground,
    `SELECT payment.id::text, payment.status, charge.status AS charge FROM payment_intents payment
     LEFT JOIN sandbox_charges charge ON charge.payment_id = payment.id::text
     WHERE (payment.status = 'succeeded') <> (charge.status IS NOT DISTINCT FROM 'Charged')`
  )
  assert.deepStrictEqual(wrong, [])
})

layer(OwnServers.layer, { excludeTestServices: true, timeout: "60 seconds" })("--mode=commands", (it) => {
  it.effect(
    "brings every payment to its end, and tells of each of its statuses in order",
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        const queue = yield* Ground.keepAll(ground)
        const port = yield* freePort
        yield* Ground.startRelay(ground, "node")
        yield* start(ground, "bun", { HEALTH_PORT: String(port) })
        const asked = yield* Effect.forEach(methods, (method) =>
          Effect.map(ask(method), (id) => [method, id] as const)
        ).pipe(Effect.provide(stores(ground)))
        yield* waitForAll(ground, isFinal)
        const all = yield* statuses(ground)
        assert.deepStrictEqual(
          asked.map(([method, id]) => [method, all[id]]),
          methods.map((method) => [method, ends[method]])
        )
        yield* checkMoney(ground)
        yield* Ground.waitUntilPublished(ground)
        const told = (yield* Ground.arrivals(ground, queue)).filter(({ topic }) => topic !== commandQueue)
        const [, charged] = asked[0] ?? []
        assert.deepStrictEqual(
          told.filter(({ key }) => key === charged).map(({ topic }) => topic),
          ["requested", "processing", "succeeded"].map((status) => `payment.events.${status}`)
        )
        // What failed too often is dead, with its history.
        yield* eventually(
          Effect.map(Queues.depth(ground.brokerUrl, `${commandQueue}.dlq`), (depth) => assert.strictEqual(depth, 1)),
          { deadline: "30 seconds" }
        )
        const [dead] = yield* Queues.takeAll(ground.brokerUrl, `${commandQueue}.dlq`)
        assert.include(dead?.content.toString(), "does not get on (charge)")
        yield* HealthPages.waitForStatus(port, "/readyz", 200)
        const { text } = yield* HealthPages.page(port, "/metrics")
        assert.match(text, /paystream_payments_total\{[^}]*status="succeeded"[^}]*\} 3/)
      }).pipe(Effect.scoped),
    { timeout: 120_000 }
  )

  it.effect(
    `killed at ${Chaos.halfTheRounds} random moments charges nobody twice, and forgets nobody`,
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        yield* Ground.startRelay(ground, "bun")
        for (let round = 0; round < Chaos.halfTheRounds; round++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const program = yield* start(ground, Chaos.runtimeOf(round), { SANDBOX_DELAY_MILLIS: "20" })
              yield* program.waitForLine(/connected to RabbitMQ/, { deadline: "60 seconds" })
              yield* Effect.forEach(Array.from({ length: 60 }), (_, index) =>
                ask(methods[index % 6] ?? "pm_card_visa")
              ).pipe(Effect.provide(stores(ground)))
              yield* realSleep(yield* Random.nextIntBetween(0, 1000))
              yield* program.kill("SIGKILL")
            })
          )
        }
        // A command that is found in the midst of three crashes is set aside: its payment is given up by the sweep.
        yield* start(ground, "node", { PAYMENT_GIVE_UP_AFTER: "10 seconds" })
        yield* eventually(
          Effect.andThen(
            liftQuarantines(Redacted.make(ground.databaseUrl)),
            Effect.map(statuses(ground), (all) => assert.isTrue(Object.values(all).every(isFinal)))
          ),
          { deadline: "120 seconds", every: "200 millis" }
        )
        yield* checkMoney(ground)
        assert.strictEqual(Object.keys(yield* statuses(ground)).length, Chaos.halfTheRounds * 60)
      }).pipe(Chaos.seeded, Effect.scoped),
    { timeout: 240_000 }
  )

  it.effect(
    "leaves a compensation to an operator, who sees it and lets it go on",
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        yield* Ground.startRelay(ground, "bun")
        yield* start(ground, "node", { ENABLE_COMPENSATION: "false" })
        const id = yield* Effect.provide(ask("pm_card_visa"), stores(ground))
        yield* waitForAll(ground, isFinal)
        const refund = { _tag: "Refund", reason: "requested_by_customer" } as const
        yield* Effect.provide(changeStored(id, refund, { commandId: randomUUID() }), stores(ground))
        const listed = eventually(
          Effect.map(run(ground, ["sagas", "list", "--status=compensation_required", "--json"]), ({ stdout }) => {
            assert.strictEqual(JSON.parse(stdout)[0]?.id, id)
          }),
          { deadline: "60 seconds" }
        )
        yield* listed
        const shown = yield* run(ground, ["sagas", "show", id])
        assert.include(shown.stdout, "compensation waits for an operator")
        assert.strictEqual((yield* run(ground, ["sagas", "compensate", id])).code, 0)
        yield* waitForAll(ground, (status) => status === "compensated")
        yield* checkMoney(ground)
        const again = yield* run(ground, ["sagas", "compensate", id])
        assert.strictEqual(again.code, 1)
        assert.include(again.stderr, "waits for nobody")
      }).pipe(Effect.scoped),
    { timeout: 120_000 }
  )

  it.effect(
    "tries nothing twice where retries are switched off, and says so",
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        yield* Ground.startRelay(ground, "node")
        // the sweep, which takes up what nobody has told of for long, must not find it before its letter is confirmed
        const env = { ENABLE_RETRY_LOGIC: "false", PAYMENT_OVERDUE_SECONDS: "60" }
        const program = yield* start(ground, "bun", env)
        yield* program.waitForLine(/ENABLE_RETRY_LOGIC=false/, { deadline: "60 seconds" })
        const id = yield* Effect.provide(ask("sandbox_twice"), stores(ground))
        yield* waitForAll(ground, isFinal)
        assert.strictEqual((yield* statuses(ground))[id], "failed")
        const charges = yield* Ground.sql(ground, "SELECT attempts FROM sandbox_charges")
        assert.deepStrictEqual(charges, [{ attempts: 1 }])
        yield* Queues.takeAll(ground.brokerUrl, `${commandQueue}.dlq`)
      }).pipe(Effect.scoped),
    { timeout: 90_000 }
  )

  it.effect(
    "forgets payments and orders that are older than they are to be kept, and no others",
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        yield* Ground.sql(
          ground,
          `INSERT INTO order_reservations (order_id, payment_id, confirmed_at, cancelled_at, updated_at)
           SELECT name, CASE WHEN name LIKE '%cancelled' THEN NULL ELSE gen_random_uuid() END,
             CASE WHEN name LIKE '%paid' THEN now() END, CASE WHEN name LIKE '%cancelled' THEN now() END,
             now() - CASE WHEN name LIKE 'old%' THEN interval '25 hours' ELSE interval '23 hours' END
           FROM unnest(ARRAY['old paid', 'old cancelled', 'old held', 'new paid', 'new cancelled']) AS name`
        )
        yield* Ground.sql(
          ground,
          `INSERT INTO payment_intents (id, amount_minor, currency, idempotency_key, payment_method, order_id)
           SELECT gen_random_uuid(), 1, 'BRL', name, 'pm_card_visa', name
           FROM unnest(ARRAY['old failed', 'old required', 'new failed']) AS name`
        )
        yield* Ground.sql(
          ground,
          `UPDATE payment_intents SET status = CASE WHEN order_id LIKE '%failed' THEN 'failed' ELSE 'processing' END,
             updated_at = now() - CASE WHEN order_id LIKE 'old%' THEN interval '49 hours' ELSE interval '47 hours' END`
        )
        yield* Ground.sql(
          ground,
          `UPDATE payment_intents SET status = 'compensating', compensation_required = true
           WHERE order_id = 'old required'`
        )
        yield* start(ground, "node", { ORDERS_RETENTION: "1 day", PAYMENT_INTENTS_RETENTION: "2 days" })
        const ordersIn = (table: string) =>
          Effect.map(Ground.sql(ground, `SELECT order_id FROM ${table} ORDER BY order_id`), (rows) =>
            rows.map(({ order_id }) => order_id)
          )
        yield* eventually(
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* ordersIn("order_reservations"), ["new cancelled", "new paid", "old held"])
            assert.deepStrictEqual(yield* ordersIn("payment_intents"), ["new failed", "old required"])
          }),
          { deadline: "60 seconds", every: "200 millis" }
        )
      }).pipe(Effect.scoped),
    { timeout: 90_000 }
  )

  it.effect(
    "and sagas refuse what makes no sense",
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        const withoutOutbox = yield* run(ground, ["--mode=commands"], { ENABLE_OUTBOX_PATTERN: "false" })
        assert.strictEqual(withoutOutbox.code, 2)
        assert.match(withoutOutbox.stderr, /ENABLE_OUTBOX_PATTERN.*ENABLE_ASYNC_COMMANDS/)
        const withoutGateway = yield* run(ground, ["--mode=commands"], { PAYMENT_GATEWAY: "" })
        assert.strictEqual(withoutGateway.code, 2)
        assert.include(withoutGateway.stderr, "PAYMENT_GATEWAY")
        assert.strictEqual((yield* run(ground, ["sagas", "show", "4711"])).code, 2)
        assert.strictEqual((yield* run(ground, ["sagas", "list", "--status=lost"])).code, 2)
        const unknown = yield* run(ground, ["sagas", "show", randomUUID()])
        assert.strictEqual(unknown.code, 1)
        assert.include(unknown.stderr, "there is no payment")
        assert.strictEqual((yield* run(ground, ["sagas", "list"])).stdout, "no payments")
        assert.strictEqual((yield* run(ground, ["sagas", "list", "--stuck"])).stdout, "no payments")
      }).pipe(Effect.scoped),
    { timeout: 60_000 }
  )
})
