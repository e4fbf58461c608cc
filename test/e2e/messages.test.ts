import { assert, describe, it } from "@effect/vitest"
import type { GetMessage } from "amqplib"
import { Effect } from "effect"
import * as Lines from "../support/Lines.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TableLock from "../support/TableLock.ts"

const mebibyte = 2 ** 20

/** In every payload, and so in no line of any log. */
const marker = "payload-marker-5417"

const refused: ReadonlyArray<Queues.Message & { readonly id: string; readonly reason: string }> = [
  { id: "broken", reason: "invalid_json", body: `{"${marker}": ` },
  { id: "single-quotes", reason: "invalid_json", body: `{'${marker}': 1}` },
  { id: "byte-order-mark", reason: "invalid_json", body: `\ufeff{"${marker}": 1}` },
  { id: "empty", reason: "empty", body: "" },
  { id: "latin-1", reason: "invalid_utf8", body: Buffer.from(`{"${marker}": "\xe9"}`, "latin1") },
  { id: "nul", reason: "rejected_by_database", body: `{"${marker}": "\\u0000"}` },
  { id: "surrogate", reason: "rejected_by_database", body: `{"${marker}": "\\ud800"}` },
  { id: "out-of-range", reason: "rejected_by_database", body: `{"${marker}": 1e400000}` },
  { id: "deep", reason: "rejected_by_database", body: `${"[".repeat(100_000)}"${marker}"${"]".repeat(100_000)}` },
  { id: "large", reason: "too_large", body: JSON.stringify(`${marker}${" ".repeat(mebibyte)}`) },
  { id: "twice", reason: "conflict", body: `{"${marker}": 2}` }
]

const stored: ReadonlyArray<Queues.Message & { readonly id: string }> = [
  { id: "twice", body: `{"${marker}": 1}` },
  { id: "digits", body: `{"${marker}": 12345678901234567890.123456789012345678900}` },
  { id: "same", body: `{"a": 1, "b": "${marker}"}` },
  { id: "scalar", body: `"${marker}"` }
]

const sameAgain = { id: "same", body: `{"b":"${marker}","a":1.0}` }

const headers = { traceparent: "not a traceparent", text: "é", number: 7, table: { inner: [true] }, CC: ["elsewhere"] }

const headersOf = (message: GetMessage): Record<string, unknown> => message.properties.headers ?? {}

const assertDeadLetter = (stage: Stage.Stage, sent: (typeof refused)[number], letter: GetMessage | undefined) => {
  assert.isDefined(letter, sent.id)
  if (letter === undefined) return
  const { CC, ...kept } = headers
  const found = headersOf(letter)
  assert.isTrue(letter.content.equals(Buffer.from(sent.body)), `${sent.id}: byte for byte`)
  assert.strictEqual(letter.properties.deliveryMode, 2)
  assert.deepInclude(found, {
    ...kept,
    "x-original-CC": CC,
    "x-paystream-reason": sent.reason,
    "x-paystream-source": stage.queue,
    "x-paystream-attempt": 1
  })
  assert.match(String(found["x-paystream-time"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
  assert.isNotEmpty(found["x-paystream-error"])
}

for (const runtime of Stage.runtimes) {
  describe.concurrent(`messages on ${runtime}`, () => {
    it.live("are stored to the last digit, or set aside byte for byte with their reason; no log shows any", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.publish(stage, [...stored, ...refused.map((one) => ({ ...one, headers })), sameAgain])
        const env = { LOG_LEVEL: "trace", MAX_MESSAGE_BYTES: `${mebibyte}` }
        const { code, stderr, stdout } = yield* Stage.drain(stage, { runtime, env })
        assert.strictEqual(code, 0)
        assert.notInclude(stdout + stderr, marker)
        assert.notInclude(stdout, "12345678901234567890")

        const rows = new Map((yield* Stage.rows(stage)).map((row) => [row.message_id, row.payload]))
        assert.deepStrictEqual([...rows.keys()].sort(), stored.map(({ id }) => id).sort())
        assert.strictEqual(rows.get("digits"), stored[1]?.body)
        assert.strictEqual(rows.get("twice"), stored[0]?.body)
        const letters = yield* Stage.takeDeadLetters(stage)
        assert.strictEqual(letters.length, refused.length)
        for (const sent of refused) {
          assertDeadLetter(
            stage,
            sent,
            letters.find((letter) => Queues.idOf(letter) === sent.id)
          )
          const line = stdout.split("\n").find((text) => text.includes("dead letter") && text.includes(`"${sent.id}"`))
          assert.include(line, sent.reason)
        }
        const total = { stored: stored.length, duplicates: 1, deadLettered: refused.length, returned: 0 }
        assert.deepInclude(JSON.parse(stdout.split("\n").at(-1) ?? "").annotations, total)
      })
    )

    it.live("of 1 MiB stay within the limit of bytes, and one of 20 MiB is set aside", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const large = (id: string, size: number) => ({ id, body: JSON.stringify("x".repeat(size - 2)) })
        const worker = yield* Stage.start(stage, { runtime, env: { MAX_BYTES_IN_FLIGHT: `${16 * mebibyte}` } })
        yield* Stage.publish(stage, [large("first", 100)])
        yield* Stage.waitForRows(stage, 1)
        const lock = yield* TableLock.hold(stage.databaseUrl, "payments")
        yield* Stage.publish(
          stage,
          Array.from({ length: 60 }, (_, n) => large(`large-${n}`, mebibyte))
        )
        yield* lock.isWaitedFor
        // what is not in the worker's hands waits in the queue; the one that passes the limit is kept
        yield* eventually(
          Effect.map(Stage.depth(stage), (depth) => assert.isAtLeast(depth, 60 - 17)),
          { deadline: "20 seconds" }
        )
        yield* lock.release
        yield* Stage.publish(stage, [large("too-large", 20 * mebibyte)])
        yield* Stage.waitForRows(stage, 61)
        yield* Lines.waitFor(worker, "too_large", 1)
        yield* worker.kill("SIGTERM")
        assert.strictEqual(yield* worker.exit, 0)
        const letters = yield* Stage.takeDeadLetters(stage)
        assert.deepStrictEqual(letters.map(Queues.idOf), ["too-large"])
        assert.strictEqual(letters[0]?.content.length, 20 * mebibyte)
        assert.strictEqual(yield* Stage.depth(stage), 0)
      })
    )
  })
}

describe.concurrent("dead letters", () => {
  it.live("go to the queue that DLQ_NAME names, and to none other", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const DLQ_NAME = `${stage.queue}-set-aside`
      yield* Stage.publish(stage, [{ id: "empty", body: "" }])
      assert.strictEqual((yield* Stage.drain(stage, { runtime: "bun", env: { DLQ_NAME } })).code, 0)
      const letters = yield* Queues.takeAll(stage.brokerUrl, DLQ_NAME)
      assert.deepStrictEqual(letters.map(Queues.idOf), ["empty"])
      assert.isFalse(yield* Queues.exists(stage.brokerUrl, stage.deadLetters))
      yield* Queues.remove(stage.brokerUrl, DLQ_NAME)
    })
  )

  it.live("are left to the broker's own policy with DLQ_NAME=none", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.make
      const [source, graveyard] = [`${stage.queue}-policy`, `${stage.queue}-graveyard`]
      yield* Queues.declare(stage.brokerUrl, graveyard)
      // the arguments of a queue that exists are its owner's business
      yield* Queues.declare(stage.brokerUrl, source, {
        deadLetterExchange: "",
        deadLetterRoutingKey: graveyard,
        maxPriority: 3
      })
      yield* Queues.publish(stage.brokerUrl, source, [{ id: "broken", body: "{" }, ...Stage.payments(5)])
      const env = { QUEUE_NAME: source, DLQ_NAME: "none" }
      assert.strictEqual((yield* Stage.drain(stage, { runtime: "node", env })).code, 0)
      const [letter] = yield* Queues.takeAll(stage.brokerUrl, graveyard)
      assert.strictEqual(letter?.properties.messageId, "broken")
      assert.strictEqual(letter?.properties.headers?.["x-first-death-reason"], "rejected")
      assert.strictEqual((yield* Stage.rows({ ...stage, queue: source })).length, 5)
      assert.isFalse(yield* Queues.exists(stage.brokerUrl, `${source}.dlq`))
      yield* Effect.andThen(Queues.remove(stage.brokerUrl, source), Queues.remove(stage.brokerUrl, graveyard))
    })
  )
})
