import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Queue, Stream } from "effect"
import { Shutdown, untilShutdown } from "../../src/streams/Shutdown.ts"

const request = Effect.flatMap(Shutdown, (shutdown) => shutdown.request)

describe("A stream that ends at the shutdown", () => {
  it.effect("gives everything as long as nobody asks to stop", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* Stream.runCollect(untilShutdown(Stream.range(1, 10_000))),
        Array.from({ length: 10_000 }, (_, index) => index + 1)
      )
      assert.isFalse(yield* (yield* Shutdown).isRequested)
    }).pipe(Effect.provide(Shutdown.layer))
  )

  it.effect("ends while it waits for an element", () =>
    Effect.gen(function* () {
      const waiting = yield* Effect.forkChild(Stream.runCollect(untilShutdown(Stream.never)), {
        startImmediately: true
      })
      yield* request
      assert.deepStrictEqual(yield* Fiber.join(waiting), [])
      assert.isTrue(yield* (yield* Shutdown).isRequested)
    }).pipe(Effect.provide(Shutdown.layer))
  )

  it.effect("ends while it waits, having asked to stop itself", () =>
    Effect.gen(function* () {
      const source = Stream.fromEffect(Effect.andThen(request, Effect.never))
      assert.deepStrictEqual(yield* Stream.runCollect(untilShutdown(source)), [])
    }).pipe(Effect.provide(Shutdown.layer))
  )

  it.effect("takes nothing when stopping was asked for before it began", () =>
    Effect.gen(function* () {
      yield* request
      assert.deepStrictEqual(yield* Stream.runCollect(untilShutdown(Stream.never)), [])
    }).pipe(Effect.provide(Shutdown.layer))
  )

  it.effect("keeps its source open until what was taken is finished, and takes no more", () =>
    Effect.gen(function* () {
      const source = yield* Queue.unbounded<number>()
      const go = yield* Deferred.make<void>()
      const taken = yield* Deferred.make<void>()
      const events: Array<string> = []
      const event = (text: string) => Effect.sync(() => void events.push(text))
      const fiber = yield* Effect.forkChild(
        Stream.fromQueue(source).pipe(
          Stream.ensuring(event("source closed")),
          untilShutdown,
          Stream.mapEffect((element) =>
            Deferred.succeed(taken, undefined).pipe(
              Effect.andThen(Deferred.await(go)),
              Effect.andThen(event(`finished ${element}`))
            )
          ),
          Stream.runDrain
        )
      )
      yield* Queue.offer(source, 1)
      yield* Deferred.await(taken)
      yield* request
      yield* Queue.offer(source, 2)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(events, ["finished 1", "source closed"])
      assert.strictEqual(yield* Queue.size(source), 1)
    }).pipe(Effect.provide(Shutdown.layer))
  )

  it.effect("is interrupted with who reads it, source and all", () =>
    Effect.gen(function* () {
      const interrupted: Array<string> = []
      const source = Stream.fromEffect(Effect.never).pipe(
        Stream.onExit((exit) =>
          Effect.sync(() => void interrupted.push(Exit.isSuccess(exit) ? "ended" : "interrupted"))
        )
      )
      const reader = yield* Effect.forkChild(Stream.runDrain(untilShutdown(source)), { startImmediately: true })
      const exit = yield* Effect.andThen(Fiber.interrupt(reader), Fiber.await(reader))
      assert.isTrue(Exit.hasInterrupts(exit))
      assert.deepStrictEqual(interrupted, ["interrupted"])
    }).pipe(Effect.provide(Shutdown.layer))
  )
})
