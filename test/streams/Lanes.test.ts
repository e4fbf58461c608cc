import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Exit, Fiber, Schema } from "effect"
import * as Lanes from "../../src/streams/Lanes.ts"

/** Work that says when it begins and ends when it is told to. */
const makeStage = () => {
  const begun: Array<string> = []
  const gates = new Map<string, Deferred.Deferred<void>>()
  return {
    begun,
    work: (name: string) =>
      Effect.suspend(() => {
        const gate = Deferred.makeUnsafe<void>()
        gates.set(name, gate)
        begun.push(name)
        return Deferred.await(gate)
      }),
    finish: (name: string) =>
      Effect.andThen(Deferred.succeed(gates.get(name) as Deferred.Deferred<void>, undefined), settled)
  }
}

/** Every fiber that can go on has gone on. */
const settled = Effect.forEach(Arr.range(1, 20), () => Effect.yieldNow, { discard: true })

/** Starts works named by their key and number, in this order. */
const start = (lanes: Lanes.Lanes, stage: ReturnType<typeof makeStage>, names: ReadonlyArray<string>) =>
  Effect.forEach(names, (name) =>
    Effect.forkScoped(lanes.run(name.startsWith("-") ? undefined : name[0], stage.work(name)), {
      startImmediately: true
    })
  )

describe("Lanes", () => {
  it.effect("keep order within a key", () =>
    Effect.gen(function* () {
      const stage = makeStage()
      const lanes = Lanes.make(4)
      yield* start(lanes, stage, ["a1", "a2", "a3"])
      assert.deepStrictEqual(stage.begun, ["a1"])
      yield* stage.finish("a1")
      yield* start(lanes, stage, ["a4"])
      assert.deepStrictEqual(stage.begun, ["a1", "a2"])
      yield* stage.finish("a2")
      assert.deepStrictEqual(stage.begun, ["a1", "a2", "a3"])
      yield* stage.finish("a3")
      assert.deepStrictEqual(stage.begun, ["a1", "a2", "a3", "a4"])
    })
  )

  it.effect("let keys go on side by side, and what has no key", () =>
    Effect.gen(function* () {
      const stage = makeStage()
      yield* start(Lanes.make(4), stage, ["a1", "b1", "-1", "-2"])
      assert.deepStrictEqual(stage.begun, ["a1", "b1", "-1", "-2"])
    })
  )

  it.effect("never have more than the concurrency at work", () =>
    Effect.gen(function* () {
      const stage = makeStage()
      yield* start(Lanes.make(2), stage, ["a1", "b1", "c1", "-1"])
      assert.deepStrictEqual(stage.begun, ["a1", "b1"])
      yield* stage.finish("b1")
      assert.deepStrictEqual(stage.begun, ["a1", "b1", "c1"])
      yield* stage.finish("a1")
      assert.deepStrictEqual(stage.begun, ["a1", "b1", "c1", "-1"])
    })
  )

  it.effect("let a slow key hold up nobody else", () =>
    Effect.gen(function* () {
      const stage = makeStage()
      yield* start(Lanes.make(2), stage, ["a1", "a2", "a3", "a4", "b1", "c1"])
      assert.deepStrictEqual(stage.begun, ["a1", "b1"])
      yield* stage.finish("b1")
      assert.deepStrictEqual(stage.begun, ["a1", "b1", "c1"])
    })
  )

  it.effect("go on with the next of a key when one fails, dies or is interrupted, at work or waiting", () =>
    Effect.gen(function* () {
      const stage = makeStage()
      const lanes = Lanes.make(1)
      const [first, second] = yield* start(lanes, stage, ["a1", "a2"])
      const failing = yield* Effect.forkScoped(Effect.exit(lanes.run("a", Effect.fail("no"))), {
        startImmediately: true
      })
      const dying = yield* Effect.forkScoped(Effect.exit(lanes.run("a", Effect.die("no"))), { startImmediately: true })
      yield* start(lanes, stage, ["a3"])
      yield* Fiber.interrupt(second as Fiber.Fiber<void>)
      yield* Fiber.interrupt(first as Fiber.Fiber<void>)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(failing)) && Exit.isFailure(yield* Fiber.join(dying)))
      yield* settled
      assert.deepStrictEqual(stage.begun, ["a1", "a3"])
    })
  )

  const keys = Schema.Array(Schema.Literals(["a", "b", "c", "d"]))
  it.effect.prop(
    "do all work, each key's in its order, for any keys and pauses",
    {
      keys,
      pauses: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))),
      concurrency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))
    },
    ({ concurrency, keys, pauses }) =>
      Effect.gen(function* () {
        const lanes = Lanes.make(concurrency)
        const done: Array<readonly [key: string, index: number]> = []
        const counts = { atWork: 0, most: 0 }
        const work = (key: string, index: number) =>
          Effect.gen(function* () {
            counts.most = Math.max(counts.most, ++counts.atWork)
            for (let pause = pauses[index] ?? 0; pause > 0; pause--) yield* Effect.yieldNow
            counts.atWork--
            done.push([key, index])
          })
        yield* Effect.forEach(keys, (key, index) => lanes.run(key, work(key, index)), { concurrency: "unbounded" })
        assert.isAtMost(counts.most, concurrency)
        assert.strictEqual(done.length, keys.length)
        for (const own of Object.values(Object.groupBy(done, ([key]) => key))) {
          const indexes = own?.map(([, index]) => index) ?? []
          assert.deepStrictEqual(
            indexes,
            [...indexes].sort((one, other) => one - other)
          )
        }
      }),
    { arbitrary: { runs: 200, size: 30 } }
  )
})
