/** What every payment store promises, as tests: run with any layer of the port, and a way to look at its rows. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Duration, Effect, type Layer, Schema } from "effect"
import { PaymentStore, type ReceivedPayment, type StoreOutcome } from "../../src/domain/ports/PaymentStore.ts"

/** The rows of a queue in the order of their storing, payloads as text. */
export type RowsOf<R> = (queue: string) => Effect.Effect<ReadonlyArray<ReceivedPayment>, never, R>

/** A queue of its own for a test: payments of different queues have nothing to do with each other. */
export const newQueue = (): string => `queue-${randomUUID()}`

/** A payment. */
export const payment = (payload: string, id?: string): ReceivedPayment => ({ id, payload })

/** Stores a batch. */
export const store = (queue: string, payments: ReadonlyArray<ReceivedPayment>) =>
  Effect.flatMap(PaymentStore, (service) => service.store(queue, payments))

const tags = (outcomes: ReadonlyArray<StoreOutcome>): ReadonlyArray<string> => outcomes.map(({ _tag }) => _tag)

/** Texts of one value each, as jsonb sees it. */
const equalTexts: ReadonlyArray<ReadonlyArray<string>> = [
  ['{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}', '\n{ "a" :\t1 , "b" : [ 1,2 ] }\r\n'],
  ['{"a": 2}', '{"a":1,"a":2}', '{"a":{"x":1},"a":2}'],
  ["1", "1.0", "1.00", "1e0", "10E-1", "0.1e+1"],
  ["0", "-0", "0.0", "0e5", "-0.00e-3"],
  ['"A/"', '"\\u0041\\/"'],
  ['"😀"', '"\\ud83d\\ude00"'],
  ["100000000000000000000", "1e20", "100000000000000000000.000"],
  ['{"n": [1.10]}', '{"n":[11e-1]}']
]

/** Pairs that are two values, however much they look alike. */
const differentTexts: ReadonlyArray<readonly [string, string]> = [
  ['{"a": 1}', '{"a": 2}'],
  ["12345678901234567890", "12345678901234567891"],
  ["0.1", "0.10000000000000000000000000000000000001"],
  ["1", '"1"'],
  ['{"a": null}', "{}"],
  ["[1, 2]", "[2, 1]"],
  ['{"a": 1}', '{"A": 1}'],
  ['"\u00e9"', '"e\u0301"'],
  ['"a"', '"a "'],
  ["[]", "{}"],
  ["true", '"true"'],
  ['{"a": 2, "b": 1}', '{"a": 1, "a": 2}']
]

/** JSON that PostgreSQL refuses, with its SQLSTATE. */
const refused: ReadonlyArray<readonly [what: string, payload: string, sqlState: string]> = [
  ["a NUL", '{"a": "\\u0000"}', "22P05"],
  ["a NUL in a key", '{"\\u0000": 1}', "22P05"],
  ["a NUL in a value that a later key replaces", '{"a": "\\u0000", "a": 1}', "22P05"],
  ["half of a surrogate pair", '["\\ud800"]', "22P02"],
  ["a surrogate pair the wrong way round", '"\\ude00\\ud83d"', "22P02"],
  ["a number too large", "1e131072", "22003"],
  ["a number too small", "1e-16384", "22003"],
  ["a number of too many digits", `1${"0".repeat(131_072)}`, "22003"],
  ["nesting too deep", "[".repeat(100_000) + "]".repeat(100_000), "54001"],
  ["text that is not JSON", '{"a":', "22P02"]
]

const strangeIds = [
  "a",
  "A",
  "a ",
  "\u00e9",
  "e\u0301",
  "😀",
  "'; DROP TABLE payments; --",
  '"\\',
  "NULL",
  "{a,b}",
  "x".repeat(255)
]

/** Runs the whole contract. */
export const suite = <R>(name: string, layer: Layer.Layer<PaymentStore | R, unknown>, rowsOf: RowsOf<R>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`PaymentStore (${name})`, (it) => {
    it.effect("can be prepared again, and by many at once, and answers", () =>
      Effect.gen(function* () {
        const service = yield* PaymentStore
        yield* Effect.forEach(Arr.range(1, 5), () => service.prepare, { concurrency: "unbounded" })
        yield* service.ping
        assert.notInclude(service.address, "@")
      })
    )

    it.effect("stores a batch, and tells the outcomes in its order", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = [payment('{"a": 1}', "1"), payment("[]"), payment('"text"', "2"), payment("null")]
        assert.deepStrictEqual(tags(yield* store(queue, batch)), ["Stored", "Stored", "Stored", "Stored"])
        assert.deepStrictEqual(yield* rowsOf(queue), batch)
        assert.deepStrictEqual(yield* store(queue, []), [])
      })
    )

    it.effect("stores 5,000 payments at once", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = Arr.makeBy(5000, (index) => payment(`{"n": ${index}}`, String(index)))
        assert.isTrue((yield* store(queue, batch)).every(({ _tag }) => _tag === "Stored"))
        assert.deepStrictEqual(yield* rowsOf(queue), batch)
      })
    )

    it.effect("keeps every digit of a number", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = ["12345678901234567890.12345678901234567890", "0.10", "1.00", `0.${"0".repeat(100)}1`].map(
          (one) => payment(one)
        )
        yield* store(queue, batch)
        assert.deepStrictEqual(yield* rowsOf(queue), batch)
      })
    )

    it.effect("stores all payments without an id, equal ones too", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        for (const _ of [1, 2])
          assert.deepStrictEqual(tags(yield* store(queue, [payment("1"), payment("1")])), ["Stored", "Stored"])
        assert.strictEqual((yield* rowsOf(queue)).length, 4)
      })
    )

    it.effect("takes the same id of another queue for another payment", () =>
      Effect.gen(function* () {
        for (const queue of [newQueue(), newQueue()]) {
          assert.deepStrictEqual(tags(yield* store(queue, [payment("1", "same")])), ["Stored"])
        }
      })
    )

    it.effect("knows a payment again, however its JSON is written", () =>
      Effect.gen(function* () {
        for (const [first = "", ...others] of equalTexts) {
          const queue = newQueue()
          yield* store(queue, [payment(first, "id")])
          const outcomes = yield* store(
            queue,
            [first, ...others].map((one) => payment(one, "id"))
          )
          assert.isTrue(
            outcomes.every(({ _tag }) => _tag === "Duplicate"),
            `${first}: ${tags(outcomes)}`
          )
          assert.deepStrictEqual(yield* rowsOf(queue), [payment(first, "id")])
        }
      })
    )

    it.effect("finds a conflict where an id comes with another payload, and keeps the first", () =>
      Effect.gen(function* () {
        for (const [first, second] of differentTexts) {
          const queue = newQueue()
          yield* store(queue, [payment(first, "id")])
          assert.deepStrictEqual(tags(yield* store(queue, [payment(second, "id"), payment(first, "id")])), [
            "Conflict",
            "Duplicate"
          ])
          assert.deepStrictEqual(yield* rowsOf(queue), [payment(first, "id")])
        }
      })
    )

    it.effect("finds duplicates and conflicts within one batch, of which the first wins", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = [
          payment("1", "a"),
          payment("2", "b"),
          payment("1.0", "a"),
          payment("1", "b"),
          payment("3", "a"),
          payment("3")
        ]
        const expected = ["Stored", "Stored", "Duplicate", "Conflict", "Conflict", "Stored"]
        assert.deepStrictEqual(tags(yield* store(queue, batch)), expected)
        assert.deepStrictEqual(yield* rowsOf(queue), [payment("1", "a"), payment("2", "b"), payment("3")])
      })
    )

    for (const [what, payload, sqlState] of refused) {
      it.effect(`rejects ${what}, and leaves its id free`, () =>
        Effect.gen(function* () {
          const queue = newQueue()
          const [outcome] = yield* store(queue, [payment(payload, "id")])
          assert.strictEqual(outcome?._tag === "Rejected" && outcome.sqlState, sqlState)
          assert.isTrue(outcome?._tag === "Rejected" && outcome.detail !== "")
          assert.deepStrictEqual(tags(yield* store(queue, [payment(payload, "id"), payment("1", "id")])), [
            "Rejected",
            "Stored"
          ])
        })
      )
    }

    it.effect("rejects bad payloads of ids that are stored already", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        yield* store(queue, [payment("1", "id")])
        assert.deepStrictEqual(tags(yield* store(queue, [payment('"\\u0000"', "id"), payment("1", "id")])), [
          "Rejected",
          "Duplicate"
        ])
      })
    )

    it.effect.prop(
      "rejects the culprits alone, wherever in a batch they stand",
      { culprits: Schema.Array(Schema.Boolean).check(Schema.isMinLength(1), Schema.isMaxLength(40)) },
      ({ culprits }) =>
        Effect.gen(function* () {
          const queue = newQueue()
          const batch = culprits.map((bad, index) => payment(bad ? '"\\u0000"' : String(index), String(index)))
          assert.deepStrictEqual(
            tags(yield* store(queue, batch)),
            culprits.map((bad) => (bad ? "Rejected" : "Stored"))
          )
          assert.deepStrictEqual(
            new Set((yield* rowsOf(queue)).map(({ id }) => id)),
            new Set(batch.filter((_, index) => !culprits[index]).map(({ id }) => id))
          )
        }),
      { arbitrary: { runs: 25, size: 40 } }
    )

    it.effect("takes any text for an id, and tells ids apart to the byte", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = strangeIds.map((id) => payment("1", id))
        assert.isTrue((yield* store(queue, batch)).every(({ _tag }) => _tag === "Stored"))
        assert.deepStrictEqual(yield* rowsOf(queue), batch)
        assert.isTrue((yield* store(queue, batch)).every(({ _tag }) => _tag === "Duplicate"))
      })
    )

    it.effect("rejects ids that no database text can hold, and stores their neighbours", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const batch = ["a", "\0", "b", "x\0y", "\ud800", "c"].map((id) => payment("1", id))
        assert.deepStrictEqual(tags(yield* store(queue, batch)), [
          "Stored",
          "Rejected",
          "Stored",
          "Rejected",
          "Rejected",
          "Stored"
        ])
      })
    )

    it.effect("stores each id once when batches of many come at once, in any order", () =>
      Effect.gen(function* () {
        const queue = newQueue()
        const ids = Arr.makeBy(100, String)
        const batches = Arr.makeBy(12, (index) =>
          (index % 2 === 0 ? ids : [...ids].reverse()).map((id) => payment(String(index % 3), id))
        )
        const outcomes = yield* Effect.forEach(batches, (batch) => store(queue, batch), { concurrency: "unbounded" })
        const stored = new Map((yield* rowsOf(queue)).map(({ id, payload }) => [id, payload]))
        assert.strictEqual((yield* rowsOf(queue)).length, ids.length)
        assert.strictEqual(outcomes.flat().filter(({ _tag }) => _tag === "Stored").length, ids.length)
        for (const [index, batch] of batches.entries()) {
          for (const [place, { id, payload }] of batch.entries()) {
            const tag = outcomes[index]?.[place]?._tag
            assert.isTrue(stored.get(id) === payload ? tag !== "Conflict" : tag === "Conflict", `${id}: ${tag}`)
          }
        }
      })
    )

    it.effect("forgets the oldest of those that are older than an age, so many at most, and stores them again", () =>
      Effect.gen(function* () {
        const { forget } = yield* PaymentStore
        while ((yield* forget(Duration.zero, 1000)) > 0);
        const queue = newQueue()
        const batch = ["a", "b", "c"].map((id) => payment("1", id))
        yield* Effect.forEach(batch, (one) => store(queue, [one]))
        assert.strictEqual(yield* forget(Duration.hours(1), 10), 0)
        assert.deepStrictEqual(tags(yield* store(queue, batch)), ["Duplicate", "Duplicate", "Duplicate"])
        assert.strictEqual(yield* forget(Duration.zero, 2), 2)
        assert.deepStrictEqual(
          (yield* rowsOf(queue)).map(({ id }) => id),
          ["c"]
        )
        assert.deepStrictEqual(tags(yield* store(queue, batch)), ["Stored", "Stored", "Duplicate"])
        assert.strictEqual(yield* forget(Duration.zero, 10), 3)
        assert.strictEqual(yield* forget(Duration.zero, 10), 0)
      })
    )
  })
