/** Ordered workers in several processes that join, leave and are killed with work under way. */
import { writeFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Layer, Redacted, type Scope } from "effect"
import { inject } from "vitest"
import type { Broker } from "../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../src/layers/embedded/EmbeddedPostgres.ts"
import { publishKeyed, subscribeOrdered } from "../contracts/OrderedContract.ts"
import { newDatabase } from "../support/Databases.ts"
import { kafkaMakingTopics } from "../support/KafkaServices.ts"
import { rabbitMq } from "../support/Services.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import { newTopic } from "../support/TopicSteps.ts"

const module = fileURLToPath(new URL("../support/journalWorker.ts", import.meta.url))

// So many that those which a killed process leaves claimed for a while do not hold up the test.
const keys = Arr.makeBy(40, (index) => `key-${index}`)
const partSize = 4
const rounds = 4

interface Entry {
  readonly what: string
  readonly pid: number
  readonly key: string
  readonly number: number
}

const read = (journal: string) =>
  Effect.promise(async (): Promise<ReadonlyArray<Entry>> => {
    const lines = (await readFile(journal, "utf8")).split("\n").slice(0, -1)
    return lines.map((line) => {
      const [what = "", pid, input = ""] = line.split(" ")
      const [key = "", number] = input.split(":")
      return { what, pid: Number(pid), key, number: Number(number) }
    })
  })

const doneOf = (entries: ReadonlyArray<Entry>) => entries.filter(({ what }) => what === "done")

/** For each key, what was done first to last, each number at its first time. */
const orderOf = (entries: ReadonlyArray<Entry>, key: string): ReadonlyArray<number> => [
  ...new Set(doneOf(entries).flatMap((entry) => (entry.key === key ? [entry.number] : [])))
]

/** Keys on which two processes worked at the same time, neither of them dead. */
const overlaps = (entries: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const [key, own] of Map.groupBy(entries, (entry) => entry.key)) {
    const begun = new Map<number, boolean>()
    for (const { pid, what } of own) {
      if (what === "begin") {
        for (const other of begun.keys()) if (other !== pid) begun.set(other, true)
        begun.set(pid, false)
      } else if (begun.get(pid) === true) found.push(`${key}: ${pid} went on while another had it`)
      if (what !== "begin") begun.delete(pid)
    }
  }
  return found
}

/** Stops a process with work in its hands; one that gets none for a while is left as it is. */
const freezeAtWork = (journal: string, { kill, pid }: Child) =>
  Effect.gen(function* () {
    yield* kill("SIGSTOP")
    const own = (yield* read(journal)).filter((entry) => entry.pid === pid)
    const begun = own.filter(({ what }) => what === "begin").length
    if (begun > own.length - begun) return
    yield* kill("SIGCONT")
    return yield* Effect.fail("it has nothing in its hands")
  }).pipe((frozen) => Effect.ignore(eventually(frozen, { deadline: "5 seconds", every: "5 millis" })))

interface Ground {
  readonly env: Readonly<Record<string, string>>
  readonly broker: Layer.Layer<Broker, unknown>
  /** Whether topics have to be made before. */
  readonly needsMigrating?: boolean
  /** Of the processes by turns, and with it how much each takes into its hands. */
  readonly concurrencies?: ReadonlyArray<number>
}

const brokers: Record<string, Effect.Effect<Ground, unknown, Scope.Scope>> = {
  RabbitMQ: Effect.map(newDatabase, (url) => ({
    env: { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE_URL: Redacted.value(url) },
    broker: rabbitMq()
  })),
  "RabbitMQ's quorum queues, each process with a prefetch of its own,": Effect.map(newDatabase, (url) => ({
    env: { RABBITMQ_URL: inject("rabbitmqUrl"), QUEUE_TYPE: "quorum", DATABASE_URL: Redacted.value(url) },
    broker: rabbitMq({ queueType: "quorum" }),
    concurrencies: [1, 12, 3]
  })),
  "the embedded broker": Effect.map(temporaryFolder("data"), (dataDirectory) => ({
    env: { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: dataDirectory },
    broker: Layer.provide(EmbeddedBroker.layer, EmbeddedPostgres.layer({ dataDirectory }))
  })),
  Kafka: Effect.map(newDatabase, (url) => ({
    env: {
      BROKER: "kafka",
      KAFKA_BROKERS: inject("kafkaBrokers"),
      // Shorter, a process that a busy machine leaves without a turn would be taken for dead while it works.
      KAFKA_SESSION_TIMEOUT_SECONDS: "6",
      DATABASE_URL: Redacted.value(url)
    },
    broker: kafkaMakingTopics(),
    needsMigrating: true
  }))
}

describe.concurrent("An ordered worker", () => {
  for (const [name, ground] of Object.entries(brokers)) {
    it.live(`keeps each key's order on ${name} while its processes come, go and are killed at work`, () =>
      Effect.gen(function* () {
        const { broker, concurrencies = [4], env, needsMigrating } = yield* ground
        const services = yield* Layer.build(broker)
        const topic = yield* newTopic
        const journal = join(yield* temporaryFolder("journal"), "journal")
        writeFileSync(journal, "")
        let started = 0
        const run = (mode: string) =>
          Effect.suspend(() =>
            Program.start({
              runtime: "node",
              args: [`--mode=${mode}`, `--workers=${module}`],
              env: {
                ...env,
                TOPIC: topic,
                JOURNAL: journal,
                CONCURRENCY: `${concurrencies[started++ % concurrencies.length]}`,
                HEALTH_PORT: "0"
              }
            })
          )
        const start = run("consumers")
        const grown = (from: number, by: number) =>
          eventually(
            Effect.map(read(journal), (entries) => assert.isAtLeast(doneOf(entries).length, from + by)),
            { deadline: "100 seconds", every: "5 millis" }
          )

        if (needsMigrating) assert.strictEqual(yield* (yield* run("migrate")).exit, 0)
        yield* Effect.provide(subscribeOrdered(topic, "journal", 4), services)
        const processes: Array<Child> = [yield* start, yield* start, yield* start]
        for (const round of Arr.range(0, rounds - 1)) {
          const before = doneOf(yield* read(journal)).length
          yield* Effect.provide(publishKeyed(topic, keys, partSize, round * partSize), services)
          yield* grown(before, 40)
          // The third goes as it should, the others with work in their hands.
          const leaving = processes.shift() as Child
          if (round === 2) yield* leaving.kill("SIGTERM")
          else yield* Effect.andThen(freezeAtWork(journal, leaving), leaving.kill("SIGKILL"))
          processes.push(yield* start)
        }
        yield* eventually(
          Effect.map(read(journal), (entries) => {
            for (const key of keys) assert.strictEqual(orderOf(entries, key).length, rounds * partSize, `of ${key}`)
          }),
          { deadline: "100 seconds", every: "100 millis" }
        )
        const entries = yield* read(journal)
        const expected = Arr.makeBy(rounds * partSize, (index) => index)
        for (const key of keys) assert.deepStrictEqual(orderOf(entries, key), expected, `of ${key}`)
        assert.deepStrictEqual(overlaps(entries), [])
        assert.isAtLeast(entries.filter(({ what }) => what === "fail").length, 20)
        // Somebody was killed between beginning and end.
        const begun = entries.filter(({ what }) => what === "begin").length
        assert.isAbove(begun, entries.length - begun)
      })
    )
  }
})
