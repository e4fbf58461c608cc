import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Option, Result, Schema } from "effect"
import { deadLetter } from "../../src/domain/DeadLetter.ts"
import type { Delivery, MessageContent } from "../../src/domain/ports/Broker.ts"
import { readDeadLetter } from "../../src/domain/ReadDeadLetter.ts"
import { idsOf, ReplayHeader, replayed } from "../../src/domain/Replay.ts"
import { letterOf } from "../support/DeadLetters.ts"
import { bytes, delivery, text } from "../support/Messages.ts"

const time = "2026-01-01T00:00:00.000Z"

/** What the topic worker makes of a delivery that it gives up. */
const workerLetter = (delivery: Delivery, source = "orders.created", error = "no stock"): MessageContent =>
  letterOf(delivery, source, { worker: "Orders", group: "order-processor", deadLetterTopic: "orders.dlq", error, time })

const paymentLetter = (original: Delivery): MessageContent =>
  deadLetter({ delivery: original, queue: "q.dlq", source: "q", reason: "invalid_json", error: "why", time })

const read = (letter: MessageContent) => Result.getOrThrow(readDeadLetter(letter))
const problem = (letter: MessageContent): string => Option.getOrThrow(Result.getFailure(readDeadLetter(letter)))

const same = (one: MessageContent, other: Delivery) => {
  assert.strictEqual(Buffer.compare(one.body, other.body), 0)
  const { attempt: _, body: __, receipt: ___, ...rest } = other
  const { body: ____, ...found } = one
  assert.deepStrictEqual(found, rest)
}

const odd = ["null", " true\n", "-0", "1.000", '"\\ud800"', '"\\",\\"error\\":"', '"\\\\"', "\t[ ]", "{}"]
const Scalar = Schema.Struct({
  kind: Schema.Literals(["text", "number", "odd"]),
  text: Schema.String,
  number: Schema.BigInt,
  odd: Schema.Literals(odd)
})
const scalarText = (one: typeof Scalar.Type): string => {
  if (one.kind === "odd") return one.odd
  return one.kind === "text" ? JSON.stringify(one.text) : `${one.number}.1234567890123456789010e400`
}
const Any = Schema.Struct({ kind: Schema.Literals(["list", "object"]), items: Schema.Array(Scalar) })

/** JSON as publishers write it: with spaces, duplicate keys, escapes and numbers that no machine number holds. */
const anyJson = Arbitrary.map(Arbitrary.array(Arbitrary.schema(Any), { maxLength: 4 }), (parts) => {
  const texts = parts.map(({ items, kind }) =>
    kind === "list"
      ? `[${items.map(scalarText).join(" , ")}]`
      : `{${items.map((one, index) => `"${index % 2 === 0 ? "error" : "a}]"}" : ${scalarText(one)}`).join(",")}}`
  )
  return texts.length === 1 ? `${texts[0]}` : `[${texts.join(",")}]`
})

describe("A dead letter read back", () => {
  it.prop(
    "of a topic worker has the original, whatever JSON it was, to the last character",
    { json: anyJson },
    ({ json }) => {
      JSON.parse(json)
      const original = delivery({ id: "id", body: bytes(json), contentType: "application/json", headers: { key: "k" } })
      same(read(workerLetter(original)).original, original)
    },
    { arbitrary: { runs: 500, size: 30 } }
  )

  it.prop(
    "of a topic worker has the original, whatever bytes it was",
    { body: Schema.Uint8Array, isText: Schema.Boolean },
    ({ body, isText }) => {
      const original = delivery({ id: "id", body, contentType: isText ? "text/plain" : undefined })
      same(read(workerLetter(original)).original, original)
    },
    { arbitrary: { runs: 300, size: 60 } }
  )

  it.prop(
    "of a topic worker has the original, whatever text it was",
    { content: Schema.String },
    ({ content }) => {
      const original = delivery({ body: bytes(content) })
      same(read(workerLetter(original)).original, original)
    },
    { arbitrary: { runs: 300, size: 60 } }
  )

  for (const body of ['"abc"', "abc", "", "\ufeff{}", '{"original":1,"error":"x","worker":"w","retries":0}']) {
    it(`tells ${JSON.stringify(body)} from what looks like it`, () => {
      const original = delivery({ body: bytes(body) })
      same(read(workerLetter(original)).original, original)
    })
  }

  it("has what else its broker kept with the original, and how its body was encoded", () => {
    const properties = { correlationId: "theirs", contentEncoding: "gzip" }
    const original = delivery({ body: bytes("{}"), properties })
    const letter = workerLetter(original)
    assert.deepStrictEqual(letter.properties, { correlationId: "theirs" })
    same(read(letter).original, original)
    same(read(paymentLetter(original)).original, original)
  })

  it("has an original that was too large for a header, too", () => {
    const original = delivery({ body: new Uint8Array(100_000).fill(255) })
    same(read(workerLetter(original)).original, original)
  })

  it.prop(
    "of the payment worker is its own original",
    { body: Schema.Uint8Array, content: Schema.String },
    ({ body, content }) => {
      const original = delivery({ id: "id", body, contentType: "text/plain", headers: { trace: content } })
      same(read(paymentLetter(original)).original, original)
    }
  )

  it("says who failed, why and when", () => {
    const { original: _, ...said } = read(workerLetter(delivery()))
    assert.deepStrictEqual(said, {
      origin: { _tag: "Group", topic: "orders.created", group: "order-processor" },
      reason: "retries_exhausted",
      error: "no stock",
      time,
      source: "orders.created",
      group: "order-processor",
      worker: "Orders",
      retries: 3
    })
    const { original: __, ...ofPayment } = read(paymentLetter(delivery({ attempt: 2 })))
    assert.deepStrictEqual(ofPayment, {
      origin: { _tag: "Queue", queue: "q" },
      reason: "invalid_json",
      error: "why",
      time,
      source: "q",
      group: undefined,
      worker: undefined,
      retries: 1
    })
  })

  it("of a worker on dead letters or commands goes back to the topic's own queue", () => {
    for (const topic of ["orders.dlq", "order.commands.ship"]) {
      const { origin } = read(workerLetter(delivery(), topic))
      assert.deepStrictEqual(origin, { _tag: "Group", topic, group: undefined })
    }
  })

  it("is refused, with why, where it is a stranger's or was changed", () => {
    const letter = workerLetter(delivery())
    assert.match(problem(delivery()), /no header x-paystream-reason/)
    assert.match(problem({ ...letter, headers: { "x-paystream-reason": "rejected" } }), /no header x-paystream-source/)
    const changed = ["", "{}", "[]", '{"original":1}', '{"original":{"a":1', '{"original":1,"error":2}', "\ud800"]
    for (const body of changed) assert.match(problem({ ...letter, body: bytes(body) }), /no dead letter/)
    const header = { ...letter.headers, "x-paystream-original-base64": "%" }
    assert.match(problem({ ...letter, headers: header }), /no dead letter/)
    assert.match(problem({ ...letter, body: Uint8Array.from([255]) }), /no dead letter/)
  })

  it("is put back with its own headers, without ours, and with those of the replay", () => {
    const earlier = { [ReplayHeader.replay]: "an earlier one", "x-paystream-retries": 2, key: "k", trace: "abc" }
    const letter = read(workerLetter(delivery({ id: "id", headers: earlier })))
    assert.deepStrictEqual(replayed(letter, { id: "r1", by: "ada", at: time }).headers, {
      key: "k",
      trace: "abc",
      "x-paystream-replay": "r1",
      "x-paystream-replayed-by": "ada",
      "x-paystream-replayed-at": time
    })
    assert.strictEqual(replayed(letter, { id: "r1", by: "ada", at: time }).id, "id")
  })

  it("is known by the original's id and its own, or by its contents where there is none", () => {
    const [one, other] = [paymentLetter(delivery({ body: bytes("a") })), paymentLetter(delivery({ body: bytes("b") }))]
    assert.deepStrictEqual(idsOf({ ...one, id: "id" }), ["id", "id"])
    assert.deepStrictEqual(idsOf({ ...workerLetter(delivery({ id: "id" })), id: "its own" }), ["id", "its own"])
    assert.deepStrictEqual(idsOf({ ...workerLetter(delivery()), id: "its own" }), ["its own", "its own"])
    assert.match(idsOf(one)[0], /^~[0-9a-f]{8}-1$/)
    assert.notStrictEqual(idsOf(one)[0], idsOf(other)[0])
    assert.deepStrictEqual(idsOf(one), idsOf({ ...one, body: bytes(text(one.body)) }))
  })

  it("that is the original itself is taken as it is", () => {
    const original = delivery({ id: "id", body: bytes("too large to wrap"), contentType: "text/plain" })
    const letter = workerLetter(original)
    const { body, contentType } = original
    const unwrapped = { ...letter, body, contentType, headers: { ...letter.headers, "x-paystream-unwrapped": "true" } }
    same(read(unwrapped).original, original)
    assert.strictEqual(read(unwrapped).error, "no stock")
  })
})
