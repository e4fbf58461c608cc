/** `--mode=outbox` on a Kafka of its own, which is taken away in the midst of it. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { commandTopic, eventTopic } from "../../src/domain/PaymentMessages.ts"
import type { Status } from "../../src/domain/PaymentState.ts"
import { eventTopics } from "../../src/modes/PaymentTopics.ts"
import { newDatabase, query } from "../support/Databases.ts"
import * as KafkaRecords from "../support/KafkaRecords.ts"
import { admin } from "../support/KafkaServices.ts"
import { ask, stores } from "../support/PaymentsAsked.ts"
import { runtimes } from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Kafka from "../support/servers/Kafka.ts"
import * as Program from "../support/servers/Program.ts"

class OwnKafka extends Context.Service<OwnKafka, Kafka.KafkaServer>()("paystream/test/OutboxKafka") {
  static readonly layer = Layer.effect(OwnKafka, Kafka.startOwn)
}

const keys = 10

const makeTopic = (address: string, topic: string) =>
  admin((connected) => connected.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true }), address)

/** A database, a topic, and the program between them. */
const make = Effect.fnUntraced(function* (runtime: Program.Runtime) {
  const { address } = yield* OwnKafka
  const database = yield* newDatabase
  const topic = `outbox-${randomUUID()}`
  yield* makeTopic(address, topic)
  const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    Program.start({
      runtime,
      args,
      env: {
        BROKER: "kafka",
        KAFKA_BROKERS: address,
        DATABASE_URL: Redacted.value(database),
        HEALTH_PORT: "0",
        OUTBOX_LEASE_SECONDS: "2",
        OUTBOX_POLL_SECONDS: "1",
        OUTBOX_RETRY_SECONDS: "0.2",
        OUTBOX_MAX_ATTEMPTS: "2",
        ...env
      }
    })
  /** What a command says that runs to its end. */
  const run = (...args: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const program = yield* start(args)
      assert.strictEqual(yield* program.exit, 0, program.stderr.join("\n"))
      return program.stdout.join("\n")
    }).pipe(Effect.scoped)
  const sql = (statement: string) => query<Record<string, unknown>>(database, statement)
  /** Further events of each key, a transaction for each ten. */
  const append = (from: number, to: number) =>
    Effect.forEach(
      Array.from({ length: to - from + 1 }, (_, index) => from + index),
      (n) =>
        sql(
          `INSERT INTO outbox_events (topic, key, payload)
           SELECT '${topic}', 'key-' || key, jsonb_build_object('n', ${n}) FROM generate_series(1, ${keys}) AS key`
        ),
      { discard: true }
    )
  const unpublished = Effect.map(
    sql("SELECT count(*)::int AS count FROM outbox_events WHERE published_at IS NULL"),
    ([row]) => Number(row?.count)
  )
  const waitUntilPublished = eventually(
    Effect.map(unpublished, (count) => assert.strictEqual(count, 0)),
    { deadline: "60 seconds", every: "100 millis" }
  )
  const outbox = (...args: ReadonlyArray<string>) => run("outbox", ...args)
  /** A relay that has made its tables. */
  const relay = Effect.gen(function* () {
    const running = yield* start(["--mode=outbox"])
    yield* running.waitForLine(/connected to PostgreSQL/, { deadline: "60 seconds" })
    yield* eventually(sql("SELECT 1 FROM outbox_events"), { deadline: "20 seconds" })
    return running
  })
  return { address, append, database, outbox, relay, run, sql, start, topic, waitUntilPublished }
})

/** Of each key all numbers up to `last`, in order at their first time. */
const checkOrder = (records: ReadonlyArray<KafkaRecords.Found>, last: number) => {
  const firsts = new Map(records.map((record) => [record.id, record] as const).toReversed())
  const inOrder = records.filter((record) => firsts.get(record.id) === record)
  assert.strictEqual(inOrder.length, keys * last)
  for (const [key, own] of Map.groupBy(inOrder, (record) => record.key)) {
    const numbers = own.map(({ value }) => JSON.parse(value).n)
    assert.deepStrictEqual(
      numbers,
      Array.from({ length: last }, (_, index) => index + 1),
      key
    )
  }
}

layer(OwnKafka.layer, { excludeTestServices: true, timeout: "120 seconds" })("a relay to Kafka", (it) => {
  for (const runtime of runtimes) {
    it.effect(`keeps each key's order while Kafka is away and back, which uses up no attempt (${runtime})`, () =>
      Effect.gen(function* () {
        const kafka = yield* OwnKafka
        const { append, outbox, relay, sql, topic, waitUntilPublished } = yield* make(runtime)
        const running = yield* relay
        yield* append(1, 20)
        yield* waitUntilPublished
        const whileAway = Effect.gen(function* () {
          yield* append(21, 40)
          yield* running.waitForLine(/does not get on/, { deadline: "90 seconds" })
          const stats = JSON.parse(yield* outbox("stats", "--json"))
          assert.deepInclude(stats, { pending: keys * 20, failing: 0, held: 0, dead: 0 })
          const listed: ReadonlyArray<{ state: string; attempts: number }> = JSON.parse(
            yield* outbox("list", "--json", "--limit=1000")
          )
          const kinds = new Set(listed.map(({ attempts, state }) => `${state} ${attempts}`))
          assert.deepStrictEqual([...kinds], ["pending 0"])
        })
        yield* Effect.acquireUseRelease(
          kafka.kill,
          () => whileAway,
          () => Effect.orDie(kafka.start)
        )
        yield* append(41, 50)
        yield* waitUntilPublished
        yield* running.kill("SIGTERM")
        assert.strictEqual(yield* running.exit, 0, running.stderr.join("\n"))
        const [{ attempts } = {}] = yield* sql("SELECT max(attempts) AS attempts FROM outbox_events")
        assert.strictEqual(attempts, 0)
        checkOrder(yield* KafkaRecords.recordsOf(topic, kafka.address), 50)
      }).pipe(Effect.scoped)
    )
  }

  it.effect(
    "sets an event aside whose topic is missing, says how to make it, and publishes it when it is retried",
    () =>
      Effect.gen(function* () {
        const { address, append, outbox, relay, sql, topic, waitUntilPublished } = yield* make("bun")
        const running = yield* relay
        const missing = `${topic}.missing`
        yield* sql(`INSERT INTO outbox_events (topic, key, payload) VALUES ('${missing}', 'key-0', '{"n": 0}')`)
        yield* append(1, 10)
        yield* running.waitForLine(/outbox event is dead/, { deadline: "60 seconds" })
        const [dead] = JSON.parse(yield* outbox("list", "--dead", "--json"))
        assert.deepInclude(dead, { topic: missing, state: "dead", attempts: 2 })
        assert.include(dead.lastError, "--mode=migrate --topics")
        yield* makeTopic(address, missing)
        assert.strictEqual(yield* outbox("retry", "--id", dead.id), "to be tried again: 1")
        yield* waitUntilPublished
        checkOrder(yield* KafkaRecords.recordsOf(topic, address), 10)
        assert.lengthOf(yield* KafkaRecords.recordsOf(missing, address), 1)
      }).pipe(Effect.scoped)
  )

  it.effect("takes payments from their commands to their events, on topics that `--mode=migrate` has made", () =>
    Effect.gen(function* () {
      const { address, database, relay, run, start, waitUntilPublished } = yield* make("node")
      const made = yield* run("--mode=migrate")
      for (const name of [commandTopic, `${commandTopic}.dlq`, ...eventTopics]) assert.include(made, name)
      assert.notInclude(yield* run("--mode=migrate", "--topics", "--status"), "missing")
      yield* relay
      yield* start(["--mode=commands"], { PAYMENT_GATEWAY: "sandbox" })
      const [paid = "", declined = ""] = yield* Effect.forEach(["pm_card_visa", "pm_card_chargeDeclined"], ask).pipe(
        Effect.provide(stores(database))
      )
      const told = (status: Status) =>
        Effect.map(KafkaRecords.recordsOf(eventTopic(status), address), (all) => all.map(({ key }) => key))
      yield* eventually(
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* Effect.all([told("succeeded"), told("failed")]), [[paid], [declined]])
        }),
        { deadline: "90 seconds", every: "500 millis" }
      )
      yield* waitUntilPublished
      assert.sameMembers([...(yield* told("processing"))], [paid, declined])
    }).pipe(Effect.scoped)
  )
})
