/** What every store of crash marks promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { CrashMarks } from "../../src/domain/ports/CrashMarks.ts"
import { eventually } from "../support/servers/eventually.ts"

const newSuspect = () => ({ consumer: "topic.group", identity: JSON.stringify([randomUUID(), 0]) })

/** Runs the contract on an implementation. */
export const suite = <E>(name: string, implementation: Layer.Layer<CrashMarks, E>) =>
  layer(implementation, { excludeTestServices: true, timeout: "60 seconds" })(`Crash marks (${name})`, (it) => {
    it.effect("count what was begun and not ended", () =>
      Effect.gen(function* () {
        const marks = yield* CrashMarks
        const suspect = newSuspect()
        assert.strictEqual(yield* marks.begun(suspect), 0)
        assert.deepStrictEqual([yield* marks.begin(suspect), yield* marks.begin(suspect)], [0, 1])
        assert.deepStrictEqual([yield* marks.begun(suspect), yield* marks.begun(suspect)], [2, 2])
        assert.strictEqual(yield* marks.begin(suspect), 2)
        yield* marks.end(suspect)
        assert.deepStrictEqual([yield* marks.begun(suspect), yield* marks.begin(suspect)], [0, 0])
      })
    )

    it.effect("are one consumer's and one message's own", () =>
      Effect.gen(function* () {
        const marks = yield* CrashMarks
        const suspect = newSuspect()
        yield* marks.begin(suspect)
        assert.strictEqual(yield* marks.begin({ ...suspect, consumer: "topic.other" }), 0)
        assert.strictEqual(yield* marks.begin(newSuspect()), 0)
        yield* marks.end({ ...suspect, consumer: "topic.other" })
        assert.strictEqual(yield* marks.begin(suspect), 1)
      })
    )

    it.effect("may be ended without having begun", () => CrashMarks.use((marks) => marks.end(newSuspect())))

    it.effect("are forgotten when nothing was begun for long", () =>
      Effect.gen(function* () {
        const marks = yield* CrashMarks
        const suspect = newSuspect()
        yield* marks.begin(suspect)
        yield* marks.forget(Duration.hours(1), 1000)
        assert.strictEqual(yield* marks.begin(suspect), 1)
        yield* eventually(
          Effect.gen(function* () {
            yield* marks.forget(Duration.zero, 1000)
            assert.strictEqual(yield* marks.begin(suspect), 0)
          }),
          { deadline: "30 seconds" }
        )
      })
    )
  })
