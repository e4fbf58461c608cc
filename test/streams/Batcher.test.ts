import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Duration, Effect, Exit, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import * as Batcher from "../../src/streams/Batcher.ts"

/** Every fiber that can go on has gone on. */
const settled = Effect.forEach(Arr.range(1, 30), () => Effect.yieldNow, { discard: true })

/** A batcher of numbers whose batches end when they are told to; one that holds a negative number fails. */
const onStage = Effect.fnUntraced(function* (
  options: { readonly size?: number; readonly concurrency?: number; readonly partial?: number } = {}
) {
  const begun: Array<ReadonlyArray<number>> = []
  const gates: Array<Deferred.Deferred<void>> = []
  const batcher = yield* Batcher.make({
    size: 100,
    concurrency: 1,
    partial: 1,
    ...options,
    patience: Duration.seconds(5),
    work: (batch: ReadonlyArray<number>) =>
      Effect.suspend(() => {
        begun.push(batch)
        const gate = Deferred.makeUnsafe<void>()
        gates.push(gate)
        const bad = batch.find((element) => element < 0)
        return Effect.andThen(Deferred.await(gate), bad === undefined ? Effect.void : Effect.fail(bad))
      }),
    blamesOne: (error) => error === -1
  })
  return {
    begun,
    add: (...elements: ReadonlyArray<number>) =>
      Effect.tap(
        Effect.forEach(elements, (element) => Effect.forkScoped(batcher.add(element))),
        settled
      ),
    /** Ends the batch that began as number `index`. */
    finish: (index: number) =>
      Effect.andThen(Deferred.succeed(gates[index] as Deferred.Deferred<void>, undefined), settled)
  }
})

const exits = (fibers: ReadonlyArray<Fiber.Fiber<void, number | Batcher.Late>>) => Effect.forEach(fibers, Fiber.await)

describe("A batcher", () => {
  it.effect("lets a lone element leave at once, and gathers what comes meanwhile, in its order", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage()
      yield* add(1)
      yield* add(2)
      yield* add(3, 4)
      assert.deepStrictEqual(begun, [[1]])
      yield* finish(0)
      assert.deepStrictEqual(begun, [[1], [2, 3, 4]])
    })
  )

  it.effect("tells each caller when its own batch is done, and not before", () =>
    Effect.gen(function* () {
      const { add, finish } = yield* onStage()
      const [first] = yield* add(1)
      const [second] = yield* add(2)
      assert.isUndefined(first?.pollUnsafe())
      yield* finish(0)
      assert.deepStrictEqual([first?.pollUnsafe(), second?.pollUnsafe()], [Exit.void, undefined])
      yield* finish(1)
      assert.deepStrictEqual(second?.pollUnsafe(), Exit.void)
    })
  )

  it.effect("lets a full batch leave while another is worked on", () =>
    Effect.gen(function* () {
      const { add, begun } = yield* onStage({ size: 2, concurrency: 2 })
      yield* add(1)
      yield* add(2)
      assert.deepStrictEqual(begun, [[1]])
      yield* add(3)
      assert.deepStrictEqual(begun, [[1], [2, 3]])
    })
  )

  it.effect("lets as many batches leave at once as may be partial, each with what came in one turn", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage({ concurrency: 2, partial: 2 })
      yield* Effect.all([add(1), add(2)], { concurrency: "unbounded" })
      yield* add(3)
      yield* add(4)
      yield* add(5)
      assert.deepStrictEqual(begun, [[1, 2], [3]])
      yield* finish(1)
      assert.deepStrictEqual(begun, [[1, 2], [3], [4, 5]])
    })
  )

  it.effect("fails the callers of the batch that failed, and goes on", () =>
    Effect.gen(function* () {
      const { add, finish } = yield* onStage()
      const [alone] = yield* add(1)
      const failing = yield* add(2, -7, 3)
      yield* finish(0)
      const later = yield* add(4)
      yield* finish(1)
      yield* finish(2)
      assert.deepStrictEqual(yield* exits([...Arr.fromNullishOr(alone), ...later]), [Exit.void, Exit.void])
      assert.deepStrictEqual(yield* exits(failing), [Exit.fail(-7), Exit.fail(-7), Exit.fail(-7)])
    })
  )

  it.effect("finds the one element that is to blame, so that its neighbours do not fail for it", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage()
      yield* add(1)
      const all = yield* add(2, -1, 3)
      for (const index of [0, 1, 2, 3, 4]) yield* finish(index)
      assert.deepStrictEqual(begun, [[1], [2, -1, 3], [2], [-1], [3]])
      assert.deepStrictEqual(yield* exits(all), [Exit.void, Exit.fail(-1), Exit.void])
    })
  )

  it.effect("does not begin what its caller has taken back", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage()
      yield* add(1)
      const [second, third] = yield* add(2, 3)
      yield* Fiber.interrupt(second as Fiber.Fiber<void, number | Batcher.Late>)
      yield* finish(0)
      yield* finish(1)
      assert.deepStrictEqual(begun, [[1], [3]])
      assert.deepStrictEqual(yield* exits([third as Fiber.Fiber<void, number | Batcher.Late>]), [Exit.void])
    })
  )

  it.effect("lets each caller wait as long as it has patience and no longer, in a batch or before one", () =>
    Effect.gen(function* () {
      const { add, begun, finish } = yield* onStage()
      const [first] = yield* add(1)
      yield* TestClock.adjust("2 seconds")
      const [second] = yield* add(2)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual([first?.pollUnsafe(), second?.pollUnsafe()], [Exit.fail(new Batcher.Late()), undefined])
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(second?.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(second?.pollUnsafe(), Exit.fail(new Batcher.Late()))
      const [third] = yield* add(3)
      yield* finish(0)
      yield* finish(1)
      assert.deepStrictEqual([begun, third?.pollUnsafe()], [[[1], [3]], Exit.void])
    })
  )

  it.effect("leaves nobody waiting when its scope closes", () =>
    Effect.gen(function* () {
      const batcher = yield* Effect.scoped(
        Effect.gen(function* () {
          const made = yield* Batcher.make({
            size: 10,
            concurrency: 1,
            partial: 1,
            patience: Duration.infinity,
            work: (_: ReadonlyArray<number>) => Effect.never,
            blamesOne: () => false
          })
          const waiting = yield* Effect.forEach([1, 2], (element) => Effect.forkDetach(made.add(element)))
          yield* settled
          return { ...made, waiting }
        })
      )
      const late = yield* Effect.forkDetach(batcher.add(3))
      const ends = yield* Effect.forEach([...batcher.waiting, late], Fiber.await)
      assert.isTrue(ends.every((exit) => Exit.hasInterrupts(exit)))
    })
  )

  it.effect.prop(
    "works on every element once, in the order in which they came, whatever the pauses and the failures",
    {
      elements: Schema.Array(
        Schema.Struct({
          pauses: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
          fails: Schema.Boolean
        })
      ),
      size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
    },
    ({ elements, size }) =>
      Effect.gen(function* () {
        const done: Array<number> = []
        const batcher = yield* Batcher.make({
          size,
          concurrency: 1,
          partial: 1,
          patience: Duration.seconds(5),
          work: (batch: ReadonlyArray<number>) =>
            Effect.andThen(
              Effect.yieldNow,
              Effect.suspend(() => {
                const bad = batch.find((index) => elements[index]?.fails)
                if (bad !== undefined) return Effect.fail(bad)
                done.push(...batch)
                return Effect.void
              })
            ),
          blamesOne: () => true
        })
        const exits = yield* Effect.forEach(
          elements,
          ({ pauses }, index) =>
            Effect.andThen(
              Effect.forEach(Arr.range(0, pauses), () => Effect.yieldNow, { discard: true }),
              Effect.exit(batcher.add(index))
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          exits,
          elements.map(({ fails }, index) => (fails ? Exit.fail(index) : Exit.void))
        )
        const succeeded = elements.flatMap(({ fails }, index) => (fails ? [] : [index]))
        assert.sameMembers(done, succeeded)
        // Those that came with the same number of pauses came in this order.
        for (const pauses of [0, 1, 2, 3]) {
          const own = done.filter((index) => elements[index]?.pauses === pauses)
          assert.deepStrictEqual(
            own,
            own.toSorted((one, other) => one - other)
          )
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 200, size: 20 } }
  )
})
