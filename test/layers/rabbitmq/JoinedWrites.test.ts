import { Duplex } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { joinWrites } from "../../../src/layers/rabbitmq/JoinedWrites.ts"

/** A stream that notes what reaches the system, call by call. */
const listening = () => {
  const calls: Array<string> = []
  const note = (chunks: ReadonlyArray<{ readonly chunk: unknown }>, done: () => void): void => {
    calls.push(chunks.map(({ chunk }) => String(chunk)).join(""))
    done()
  }
  const stream = new Duplex({
    highWaterMark: 4,
    write: (chunk, _encoding, done) => note([{ chunk }], done),
    writev: (chunks, done) => note(chunks, done)
  })
  joinWrites(stream)
  return { calls, stream }
}

const nextTurn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

describe("What is written at one moment", () => {
  it.effect("leaves together and in order, and does not wait for what comes later", () =>
    Effect.gen(function* () {
      const { calls, stream } = listening()
      for (const text of ["a", "b", "c"]) stream.write(text)
      assert.deepStrictEqual(calls, [])
      yield* nextTurn
      assert.deepStrictEqual(calls, ["abc"])
      stream.write("d")
      yield* nextTurn
      assert.deepStrictEqual(calls, ["abc", "d"])
    })
  )

  it.effect("says when there is too much of it, and when there is room again", () =>
    Effect.gen(function* () {
      const { calls, stream } = listening()
      let drained = 0
      stream.on("drain", () => drained++)
      assert.deepStrictEqual([stream.write("abc"), stream.write("de")], [true, false])
      yield* nextTurn
      assert.deepStrictEqual([calls, drained], [["abcde"], 1])
    })
  )

  it.effect("leaves before the stream ends", () =>
    Effect.gen(function* () {
      const { calls, stream } = listening()
      let written: unknown
      stream.write("a", (error) => {
        written = error
      })
      stream.end("b")
      yield* nextTurn
      assert.deepStrictEqual([calls.join(""), stream.writableFinished, written], ["ab", true, null])
    })
  )

  it("is let alone where it is written to something else", () => {
    assert.doesNotThrow(() => joinWrites(undefined))
  })
})
