import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Duration, Effect, Exit, Fiber, Queue, Schema, Stream } from "effect"
import type { Done } from "effect/Cause"
import { mapSideBySide } from "../../src/streams/SideBySide.ts"

/** A name's letters are its keys. */
const keysOf = (name: string) => name.match(/[a-z]/g) ?? []

const batches = { size: 500, window: Duration.zero, concurrency: 2 }

/** Results one by one; finishing does nothing. */
const sideBySide = <A, B, E>(
  options: { readonly concurrency: number; readonly keysOf: (element: A) => Iterable<string> },
  work: (element: A) => Effect.Effect<B, E>
) => mapSideBySide({ ...options, batches, work, finish: (worked: ReadonlyArray<B>) => Effect.succeed(worked) })

/** A stream of names that are added one by one, whose work says when it begins and ends when it is told to. */
const onStage = Effect.fnUntraced(function* (concurrency: number) {
  const source = yield* Queue.unbounded<string, Done>()
  const begun: Array<string> = []
  const gates = new Map<string, Deferred.Deferred<void, string>>()
  const results: Array<string> = []
  const work = (name: string) =>
    Effect.suspend(() => {
      const gate = Deferred.makeUnsafe<void, string>()
      gates.set(name, gate)
      begun.push(name)
      return Effect.as(Deferred.await(gate), name)
    })
  const fiber = yield* Stream.fromQueue(source).pipe(
    sideBySide({ concurrency, keysOf }, work),
    Stream.flattenIterable,
    Stream.runForEach((name) => Effect.sync(() => results.push(name))),
    Effect.forkScoped
  )
  const gateOf = (name: string) => gates.get(name) as Deferred.Deferred<void, string>
  return {
    begun,
    results,
    fiber,
    add: (...names: ReadonlyArray<string>) => Effect.andThen(Queue.offerAll(source, names), settled),
    finish: (name: string) => Effect.andThen(Deferred.succeed(gateOf(name), undefined), settled),
    fail: (name: string) => Effect.andThen(Deferred.fail(gateOf(name), "no"), settled),
    end: Effect.andThen(Queue.end(source), settled)
  }
})

/** Every fiber that can go on has gone on. */
const settled = Effect.forEach(Arr.range(1, 30), () => Effect.yieldNow, { discard: true })

describe("Work side by side", () => {
  it.effect("keeps the order within a key", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage(4)
      yield* add("a1", "a2", "a3")
      assert.deepStrictEqual(begun, ["a1"])
      yield* finish("a1")
      yield* add("a4")
      assert.deepStrictEqual(begun, ["a1", "a2"])
      yield* finish("a2")
      yield* finish("a3")
      assert.deepStrictEqual(begun, ["a1", "a2", "a3", "a4"])
    })
  )

  it.effect("lets keys go on side by side, and what has no key", () =>
    Effect.gen(function* () {
      const { add, begun } = yield* onStage(4)
      yield* add("a1", "b1", "-1", "-2", "-3")
      assert.deepStrictEqual(begun, ["a1", "b1", "-1", "-2"])
    })
  )

  it.effect("lets a slow key hold up nobody else", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage(2)
      yield* add("a1", "a2", "a3", "a4", "b1", "c1")
      assert.deepStrictEqual(begun, ["a1", "b1"])
      yield* finish("b1")
      assert.deepStrictEqual(begun, ["a1", "b1", "c1"])
    })
  )

  it.effect("ends when its source has ended and all that came from it is done", () =>
    Effect.gen(function* () {
      const { add, end, fiber, finish, results } = yield* onStage(1)
      yield* add("a1", "a2")
      yield* end
      yield* finish("a1")
      assert.isUndefined(fiber.pollUnsafe())
      yield* finish("a2")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(results, ["a1", "a2"])
    })
  )

  it.effect("fails as its work does, after the results that were there before, and interrupts the rest", () =>
    Effect.gen(function* () {
      const { add, fail, fiber, finish, results } = yield* onStage(3)
      yield* add("a1", "b1", "c1")
      yield* finish("a1")
      yield* fail("b1")
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("no"))
      assert.deepStrictEqual(results, ["a1"])
    })
  )

  it.effect("gives results that come together in one array", () =>
    Effect.gen(function* () {
      const sizes = yield* Stream.range(1, 100).pipe(
        sideBySide({ concurrency: 100, keysOf: () => [] }, Effect.succeed),
        Stream.map(({ length }) => length),
        Stream.runCollect
      )
      assert.strictEqual(
        Arr.reduce(sizes, 0, (sum, size) => sum + size),
        100
      )
      assert.isBelow(sizes.length, 10)
    })
  )

  it.effect("lets others begin while one is finished, but not those of its key", () =>
    Effect.gen(function* () {
      const begun: Array<string> = []
      const confirmed = yield* Deferred.make<void>()
      const work = (name: string) => Effect.sync(() => void begun.push(name))
      const finish = () => Deferred.await(confirmed)
      yield* Stream.make("a1", "a2", "b1", "c1").pipe(
        mapSideBySide({ concurrency: 1, keysOf, work, batches, finish }),
        Stream.runDrain,
        Effect.forkScoped
      )
      yield* settled
      assert.deepStrictEqual(begun, ["a1", "b1", "c1"])
      yield* Deferred.succeed(confirmed, undefined)
      yield* settled
      assert.deepStrictEqual(begun, ["a1", "b1", "c1", "a2"])
    })
  )

  it.effect("waits for each of several keys", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage(4)
      yield* add("a1", "b1", "ab2", "b3", "c1")
      assert.deepStrictEqual(begun, ["a1", "b1", "c1"])
      yield* finish("b1")
      assert.deepStrictEqual(begun, ["a1", "b1", "c1"])
      yield* finish("a1")
      assert.deepStrictEqual(begun, ["a1", "b1", "c1", "ab2"])
      yield* finish("ab2")
      assert.deepStrictEqual(begun, ["a1", "b1", "c1", "ab2", "b3"])
    })
  )

  it.effect("fails as finishing does", () =>
    Effect.gen(function* () {
      const exit = yield* Stream.make("a1").pipe(
        mapSideBySide({ concurrency: 1, keysOf, work: Effect.succeed, batches, finish: () => Effect.fail("no") }),
        Stream.runDrain,
        Effect.exit
      )
      assert.deepStrictEqual(exit, Exit.fail("no"))
    })
  )

  it.effect("does work that ends at once without end, one place for all", () =>
    Effect.gen(function* () {
      const done = yield* Stream.range(1, 20_000).pipe(
        Stream.rechunk(20_000),
        sideBySide({ concurrency: 1, keysOf: () => [] }, Effect.succeed),
        Stream.flattenIterable,
        Stream.runCollect
      )
      assert.strictEqual(done.length, 20_000)
    })
  )

  const keys = Schema.Array(Schema.Literals(["a", "b", "c", "d", "ab", "bc", "-"]))
  it.effect.prop(
    "does all work once, each key's in its order, for any keys and pauses",
    {
      keys,
      pauses: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))),
      concurrency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))
    },
    ({ concurrency, keys, pauses }) =>
      Effect.gen(function* () {
        const counts = { atWork: 0, most: 0 }
        const names = keys.map((key, index) => `${key}${index}`)
        const work = (name: string) =>
          Effect.gen(function* () {
            counts.most = Math.max(counts.most, ++counts.atWork)
            for (let pause = pauses[Number(name.replace(/\D/g, ""))] ?? 0; pause > 0; pause--) yield* Effect.yieldNow
            counts.atWork--
            return name
          })
        const done = yield* Stream.fromIterable(names).pipe(
          sideBySide({ concurrency, keysOf }, work),
          Stream.flattenIterable,
          Stream.runCollect
        )
        assert.isAtMost(counts.most, concurrency)
        assert.sameMembers(done, names)
        for (const key of ["a", "b", "c", "d"]) {
          const ofKey = (all: ReadonlyArray<string>) => all.filter((name) => name.includes(key))
          assert.deepStrictEqual(ofKey(done), ofKey(names))
        }
      }),
    { arbitrary: { runs: 200, size: 30 } }
  )
})
