import { PassThrough } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema } from "effect"
import { chunksOf, type Next } from "../../../src/layers/kubernetes/Chunks.ts"

const textOf = (chunk: Uint8Array | undefined) => chunk && new TextDecoder().decode(chunk)

const all = (next: Next) =>
  Effect.gen(function* () {
    const texts: Array<string> = []
    for (let chunk = yield* next; chunk !== undefined; chunk = yield* next) texts.push(textOf(chunk) ?? "")
    return texts
  })

class Reset extends Error {}
const reset = new Reset("reset")

const closing = (body: PassThrough) =>
  Effect.callback<void>((resume) => void body.once("close", () => resume(Effect.void)))

describe("Chunks of a body", () => {
  const texts = Schema.Array(Schema.Literals(["a", "bc", "d".repeat(100)]))
  const early = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))

  it.live.prop(
    "come all and in order, be they there before somebody waits or not",
    { texts, early },
    ({ early, texts }) =>
      Effect.gen(function* () {
        const body = new PassThrough()
        const next = yield* chunksOf(body)
        for (const text of texts.slice(0, early)) body.write(text)
        const reading = yield* Effect.forkScoped(all(next))
        for (const text of texts.slice(early)) body.write(text)
        body.end()
        assert.strictEqual((yield* Fiber.join(reading)).join(""), texts.join(""))
        assert.isUndefined(yield* next)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 100, size: 20 } }
  )

  it.live("are not taken while nobody waits for them", () =>
    Effect.gen(function* () {
      const body = new PassThrough({ highWaterMark: 10 })
      const next = yield* chunksOf(body)
      const first = yield* Effect.forkScoped(next)
      for (let count = 0; count < 10; count += 1) body.write("0123456789")
      assert.strictEqual(textOf(yield* Fiber.join(first)), "0123456789")
      assert.isTrue(body.isPaused())
      assert.isTrue(body.writableNeedDrain)
      body.end()
      assert.strictEqual((yield* all(next)).join(""), "0123456789".repeat(9))
    })
  )

  it.live("are not lost to who waits no more", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const next = yield* chunksOf(body)
      const gone = yield* Effect.forkScoped(next, { startImmediately: true })
      yield* Fiber.interrupt(gone)
      body.end("one")
      assert.deepStrictEqual(yield* all(next), ["one"])
    })
  )

  it.live("that were there come before what went wrong, be it an error or a cut", () =>
    Effect.gen(function* () {
      for (const cause of [reset, undefined]) {
        const body = new PassThrough()
        const next = yield* chunksOf(body)
        const first = yield* Effect.forkScoped(next)
        body.write("one")
        assert.strictEqual(textOf(yield* Fiber.join(first)), "one")
        for (const text of ["two", "three", "four"]) body.write(text)
        body.destroy(cause)
        yield* closing(body)
        let told = ""
        while (told.length < "twothreefour".length) told += textOf(yield* next)
        assert.strictEqual(told, "twothreefour")
        // again and again, whoever asks
        const end = Exit.fail(cause ?? "the connection was cut within the answer")
        for (let asked = 0; asked < 2; asked += 1) assert.deepStrictEqual(yield* Effect.exit(next), end)
      }
    })
  )

  it.live("end for who waits, when it goes wrong", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      const waiting = yield* Effect.forkScoped(yield* chunksOf(body), { startImmediately: true })
      body.destroy(reset)
      assert.deepStrictEqual(yield* Fiber.await(waiting), Exit.fail(reset))
    })
  )

  it.live("end where it went wrong before anybody listened", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      body.on("error", () => undefined)
      body.destroy(reset)
      yield* closing(body)
      assert.deepStrictEqual(yield* Effect.exit(yield* chunksOf(body)), Exit.fail(reset))
    })
  )

  it.live("are nobody's any more once the scope is closed, and an error then ends nothing", () =>
    Effect.gen(function* () {
      const body = new PassThrough()
      yield* Effect.scoped(Effect.asVoid(chunksOf(body)))
      assert.strictEqual(body.listenerCount("data"), 0)
      body.destroy(new Error("late"))
      yield* closing(body)
    })
  )
})
