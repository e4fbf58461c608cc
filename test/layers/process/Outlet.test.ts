import { Writable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Latch, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as Outlet from "../../../src/layers/process/Outlet.ts"

/** A reader who takes a piece when the test says so. */
const reader = Effect.gen(function* () {
  const waiting = yield* Queue.unbounded<(error?: Error) => void>()
  const read: Array<string> = []
  const target = new Writable({
    write: (bytes, _encoding, done) => {
      read.push(String(bytes))
      Queue.offerUnsafe(waiting, done)
    }
  })
  const left = yield* Latch.make(false)
  let leaves = 0
  const outlet = Outlet.make(target, () => {
    leaves++
    left.openUnsafe()
  })
  const answer = (error?: Error) => Effect.map(Queue.take(waiting), (done) => done(error))
  return { outlet, read, take: answer(), leave: answer(new Error("EPIPE")), left: left.await, leaves: () => leaves }
})

const kibibytes = (count: number) => "x".repeat(count * 1024)

describe("What is printed", () => {
  it.effect("is flushed once a slow reader has read all of it, in its order", () =>
    Effect.gen(function* () {
      const { outlet, read, take } = yield* reader
      outlet.stream.write(kibibytes(40))
      outlet.stream.write("the end\n")
      const flushing = yield* Effect.forkChild(outlet.flushed, { startImmediately: true })
      for (let piece = 0; piece < 4; piece++) {
        assert.isUndefined(flushing.pollUnsafe())
        yield* take
      }
      yield* Effect.raceFirst(Fiber.join(flushing), Effect.forever(take))
      assert.strictEqual(read.join(""), `${kibibytes(40)}the end\n`)
    })
  )

  it.effect("while a slow reader reads goes on its way together", () =>
    Effect.gen(function* () {
      const { outlet, read, take } = yield* reader
      for (const line of ["one\n", "two\n", "three\n"]) outlet.stream.write(line)
      yield* take
      yield* Effect.raceFirst(outlet.flushed, Effect.forever(take))
      assert.deepStrictEqual(read.slice(0, 2), ["one\n", "two\nthree\n"])
    })
  )

  it.effect("one after another within a moment goes together, to a reader who waits for it too", () =>
    Effect.gen(function* () {
      const { outlet, read, take } = yield* reader
      outlet.stream.write("one\n")
      yield* take
      outlet.stream.write("two\n")
      outlet.stream.write("three\n")
      yield* Effect.raceFirst(outlet.flushed, Effect.forever(take))
      assert.deepStrictEqual(read.slice(0, 2), ["one\n", "two\nthree\n"])
    })
  )

  it.effect("is given up when nothing was read for so long, and not as long as anything is", () =>
    Effect.gen(function* () {
      const { outlet, take } = yield* reader
      outlet.stream.write(kibibytes(1024))
      const silence = yield* Effect.forkChild(outlet.silence("60 seconds"), { startImmediately: true })
      for (let minute = 0; minute < 10; minute++) {
        yield* take
        yield* TestClock.adjust("60 seconds")
        assert.isUndefined(silence.pollUnsafe())
      }
      yield* TestClock.adjust("60 seconds")
      yield* Fiber.join(silence)
    })
  )

  it.effect("is dropped once its reader is gone, who is missed once, and nothing waits for it", () =>
    Effect.gen(function* () {
      const { leave, leaves, left, outlet, read } = yield* reader
      outlet.stream.write(kibibytes(1024))
      yield* leave
      yield* left
      outlet.stream.write("unread\n")
      yield* outlet.flushed
      assert.strictEqual(leaves(), 1)
      assert.strictEqual(read.join(""), kibibytes(16))
    })
  )
})
