import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, type Cause, Deferred, Duration, Effect, Fiber, Queue, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type BatchOptions, mapInBatches } from "../../src/streams/Batches.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Runs on a queue, noting each batch that is begun; a batch is finished when the test says so. */
const gather = Effect.fnUntraced(function* (options: Partial<BatchOptions>) {
  const source = yield* Queue.unbounded<number, string | Cause.Done>()
  const finish = yield* Queue.unbounded<void>()
  const begun: Array<ReadonlyArray<number>> = []
  const work = (batch: ReadonlyArray<number>) =>
    Effect.andThen(
      Effect.sync(() => void begun.push(batch)),
      Queue.take(finish)
    )
  const fiber = yield* Stream.fromQueue(source).pipe(
    mapInBatches({ size: 3, window: Duration.zero, concurrency: 2, ...options }, work),
    Stream.runDrain,
    Effect.forkChild({ startImmediately: true })
  )
  /** Everything that can happen without time passing has happened. */
  const settled = TestClock.adjust("0 millis")
  const offer = (...elements: ReadonlyArray<number>) => Effect.andThen(Queue.offerAll(source, elements), settled)
  return { source, begun, fiber, offer, settled, finishOne: Effect.andThen(Queue.offer(finish, undefined), settled) }
})

describe("Batches", () => {
  it.effect.prop(
    "hold every element once, in order, and never more than their size, few enough at a time",
    {
      chunks: Schema.Array(between(0, 20)).check(Schema.isMaxLength(8)),
      size: between(1, 10),
      concurrency: between(1, 3),
      hops: Schema.Array(between(0, 3)).check(Schema.isMaxLength(20))
    },
    ({ chunks, size, concurrency, hops }) =>
      Effect.gen(function* () {
        const elements = chunks.map((length, index) => Arr.makeBy(length, (place) => `${index}-${place}`))
        let [atWork, most, count] = [0, 0, 0]
        const work = (batch: ReadonlyArray<string>) =>
          Effect.gen(function* () {
            most = Math.max(most, ++atWork)
            yield* Effect.repeat(Effect.yieldNow, { times: hops[count++] ?? 0 })
            atWork--
            return batch
          })
        const batches = yield* Stream.fromIterable(elements).pipe(
          Stream.tap(() => Effect.yieldNow),
          Stream.flattenIterable,
          mapInBatches({ size, window: Duration.zero, concurrency }, work),
          Stream.runCollect
        )
        assert.deepStrictEqual(batches.flat(), elements.flat())
        assert.isTrue(batches.every(({ length }) => length >= 1 && length <= size))
        assert.isAtMost(most, concurrency)
      }),
    { arbitrary: { runs: 500, size: 20 } }
  )

  it.effect("leave at once where nothing is worked on, a single element too", () =>
    Effect.gen(function* () {
      const { begun, offer } = yield* gather({})
      yield* offer(1)
      assert.deepStrictEqual(begun, [[1]])
    })
  )

  it.effect("gather while one is worked on, and leave when they are full or it is finished", () =>
    Effect.gen(function* () {
      const { begun, finishOne, offer } = yield* gather({ concurrency: 3 })
      yield* offer(1)
      yield* offer(2, 3)
      assert.deepStrictEqual(begun, [[1]])
      yield* offer(4, 5)
      assert.deepStrictEqual(begun, [[1], [2, 3, 4]])
      yield* finishOne
      yield* finishOne
      assert.deepStrictEqual(begun, [[1], [2, 3, 4], [5]])
    })
  )

  it.effect("wait for their window to fill, and not longer", () =>
    Effect.gen(function* () {
      const { begun, offer } = yield* gather({ window: Duration.seconds(1) })
      yield* offer(1)
      yield* TestClock.adjust("500 millis")
      yield* offer(2)
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual(begun, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(begun, [[1, 2]])
      yield* offer(3, 4, 5)
      assert.deepStrictEqual(begun, [
        [1, 2],
        [3, 4, 5]
      ])
    })
  )

  it.effect("hold what is left when their source ends", () =>
    Effect.gen(function* () {
      const { begun, fiber, finishOne, offer, settled, source } = yield* gather({})
      yield* offer(1)
      yield* offer(2)
      yield* Queue.end(source)
      yield* settled
      yield* finishOne
      yield* finishOne
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(begun, [[1], [2]])
    })
  )

  it.effect("are not begun any more when their source has failed", () =>
    Effect.gen(function* () {
      const { begun, fiber, finishOne, offer, settled, source } = yield* gather({})
      yield* offer(1)
      yield* offer(2)
      yield* Queue.fail(source, "gone")
      yield* settled
      yield* finishOne
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "gone")
      assert.deepStrictEqual(begun, [[1]])
    })
  )

  it.effect("that fail end the stream with their failure", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const source = Stream.concat(Stream.make(1), Stream.never).pipe(
        Stream.ensuring(Deferred.succeed(interrupted, undefined))
      )
      const failing = source.pipe(
        mapInBatches({ size: 1, window: Duration.zero, concurrency: 2 }, () => Effect.fail("no")),
        Stream.runDrain
      )
      assert.strictEqual(yield* Effect.flip(failing), "no")
      yield* Deferred.await(interrupted)
    })
  )
})
