/** What every store of finished inputs promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { type FinishedInput, FinishedInputs } from "../../src/domain/ports/FinishedInputs.ts"
import { eventually } from "../support/servers/eventually.ts"

const newConsumer = () => `topic.group-${randomUUID()}`

const inputs = (consumer: string, ...identities: ReadonlyArray<string>): ReadonlyArray<FinishedInput> =>
  identities.map((identity) => ({ consumer, identity }))

const find = (all: ReadonlyArray<FinishedInput>) => FinishedInputs.use((finished) => finished.find(all))
const record = (all: ReadonlyArray<FinishedInput>) => FinishedInputs.use((finished) => finished.record(all))

/** Runs the contract on an implementation. */
export const suite = <E>(name: string, implementation: Layer.Layer<FinishedInputs, E>) =>
  layer(implementation, { excludeTestServices: true, timeout: "60 seconds" })(`Finished inputs (${name})`, (it) => {
    it.effect("tell in the order asked which were recorded, as often as each is asked for", () =>
      Effect.gen(function* () {
        const consumer = newConsumer()
        yield* record(inputs(consumer, "a", "c"))
        const asked = inputs(consumer, "c", "b", "a", "c")
        assert.deepStrictEqual(yield* find(asked), [true, false, true, true])
        assert.deepStrictEqual(yield* find([]), [])
      })
    )

    it.effect("are one consumer's own", () =>
      Effect.gen(function* () {
        const [one, other] = [newConsumer(), newConsumer()]
        yield* record(inputs(one, "a"))
        assert.deepStrictEqual(yield* find([...inputs(one, "a"), ...inputs(other, "a")]), [true, false])
      })
    )

    it.effect("take the same input again, in one call too", () =>
      Effect.gen(function* () {
        const consumer = newConsumer()
        yield* record(inputs(consumer, "a", "a"))
        yield* record(inputs(consumer, "a", "b"))
        yield* record([])
        assert.deepStrictEqual(yield* find(inputs(consumer, "a", "b")), [true, true])
      })
    )

    it.effect("keep any text of JSON apart", () =>
      Effect.gen(function* () {
        const consumer = newConsumer()
        const odd = ["", " ", "\0", "\ud83d", "😀", "a'b\"c\\", "{}", "x".repeat(200)].map((id) => JSON.stringify([id]))
        yield* record(inputs(consumer, ...odd))
        assert.deepStrictEqual(yield* find(inputs(consumer, ...odd, '["no"]')), [...odd.map(() => true), false])
      })
    )

    it.effect("are recorded by many at a time in any order, without one holding up the other", () =>
      Effect.gen(function* () {
        const consumer = newConsumer()
        const all = inputs(consumer, ...Array.from({ length: 200 }, (_, n) => `id-${n}`))
        const orders = Array.from({ length: 10 }, (_, n) => (n % 2 === 0 ? all : all.toReversed()))
        yield* Effect.forEach(orders, record, { concurrency: "unbounded", discard: true })
        assert.isTrue((yield* find(all)).every((found) => found))
      })
    )

    it.effect("are forgotten when they are old, so many at a time", () =>
      Effect.gen(function* () {
        const finished = yield* FinishedInputs
        const consumer = newConsumer()
        const all = inputs(consumer, "a", "b", "c")
        yield* record(all)
        yield* finished.forget(Duration.hours(1), 1000)
        assert.deepStrictEqual(yield* find(all), [true, true, true])
        const removed: Array<number> = []
        yield* eventually(
          Effect.gen(function* () {
            removed.push(yield* finished.forget(Duration.zero, 2))
            assert.deepStrictEqual(yield* find(all), [false, false, false])
          }),
          { deadline: "30 seconds" }
        )
        assert.isTrue(removed.every((count) => count <= 2))
      })
    )
  })
