import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { fromRecord, toRecord } from "../../../src/layers/kafka/KafkaMessage.ts"
import { content } from "../../support/TopicSteps.ts"

const place = { topic: "orders", partition: 2 }
const now = 1_800_000_000_000

type Sent = ReturnType<typeof toRecord>

/** A record as a consumer of kafkajs gets it. */
const received = ({ headers, key, timestamp = "0", value }: Sent) => ({
  key: key === null || key === undefined ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  timestamp,
  attributes: 0,
  offset: "7",
  headers: headers ?? {}
})

const roundTrip = (fields: Parameters<typeof content>[0], due?: number) =>
  fromRecord(place, received(toRecord(content(fields), now, due)))

describe("A record of Kafka", () => {
  it.prop(
    "carries headers of every kind there and back",
    {
      headers: Schema.Record(
        Schema.String.check(Schema.isPattern(/^[a-z]{1,8}$/)),
        Schema.Union([
          Schema.String,
          Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 53 - 1 })),
          Schema.Boolean,
          Schema.Null,
          Schema.Array(Schema.String)
        ])
      )
    },
    ({ headers }) => {
      const { key: _, ...rest } = headers
      assert.deepStrictEqual(roundTrip({ headers: rest }).headers, rest)
    },
    { arbitrary: { runs: 300, size: 20 } }
  )

  it("has a header that came several times as such for other programs, too", () => {
    const sent = toRecord(content({ headers: { tag: ["a", Buffer.from([0xff]), "b"] } }), now)
    assert.deepStrictEqual(sent.headers, { tag: ["a", Buffer.from([0xff]), "b"] })
    assert.deepStrictEqual(fromRecord(place, received(sent)).headers, { tag: ["a", Buffer.from([0xff]), "b"] })
  })

  it("keeps bytes bytes, whether they could be text or not", () => {
    const headers = { text: Buffer.from("text"), bytes: Buffer.from([0xff, 0]) }
    assert.deepStrictEqual(roundTrip({ headers }).headers, headers)
  })

  it("has the key of the message for its own, text or not", () => {
    assert.strictEqual(String(toRecord(content({ headers: { key: "k ✓" } }), now).key), "k ✓")
    assert.deepStrictEqual(roundTrip({ headers: { key: "k ✓" } }).headers, { key: "k ✓" })
    assert.deepStrictEqual(roundTrip({ headers: { key: 7 } }).headers, { key: 7 })
    const foreign = { ...received(toRecord(content(), now)), key: Buffer.from([0xff, 1]) }
    const read = fromRecord(place, foreign)
    assert.deepStrictEqual(toRecord(read, now).key, foreign.key)
  })

  it("has the publisher's time, unless Kafka would soon delete it for that", () => {
    assert.strictEqual(toRecord(content({ publishedAtMillis: now - 1_000 }), now).timestamp, String(now - 1_000))
    assert.strictEqual(toRecord(content({ publishedAtMillis: 1 }), now).timestamp, String(now))
    assert.strictEqual(toRecord(content({ publishedAtMillis: now - 999.75 }), now).timestamp, String(now - 1_000))
    for (const publishedAtMillis of [now - 1_000, 1, now + 10_000_000]) {
      assert.strictEqual(roundTrip({ publishedAtMillis }).publishedAtMillis, publishedAtMillis)
    }
  })

  it("has its place for an id where the publisher gave none, here or where others put it", () => {
    assert.strictEqual(roundTrip({ id: undefined }).id, "orders-2-7")
    assert.strictEqual(roundTrip({ id: "" }).id, "orders-2-7")
    assert.strictEqual(roundTrip({ id: "one" }).id, "one")
    assert.deepInclude(roundTrip({ id: undefined, headers: { ce_id: "theirs" } }), {
      id: "theirs",
      headers: { ce_id: "theirs" }
    })
  })

  it("tells when it is due, and nothing of that in its headers", () => {
    assert.deepInclude(roundTrip({ headers: { a: "b" } }, now + 500), { due: now + 500, headers: { a: "b" } })
    assert.isUndefined(roundTrip({}).due)
  })

  it("is read even where a header of ours was written by somebody else", () => {
    for (const types of ["", "{", "7", '{"a": "json"}', '{"a": 7}']) {
      const record = received(toRecord(content({ headers: { a: "not json" } }), now))
      const headers = { ...record.headers, "x-paystream-header-types": Buffer.from(types) }
      assert.deepStrictEqual(fromRecord(place, { ...record, headers }).headers, { a: "not json" })
    }
  })
})
