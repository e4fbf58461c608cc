import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { garbageCollector } from "../../../src/layers/process/Memory.ts"

/** Nobody holds these any more once the event loop has turned, but they have outlived what is collected often. */
const garbage = (bytes: number): ReadonlyArray<WeakRef<Array<number>>> =>
  Array.from({ length: bytes / 1_024 }, () => new WeakRef(Array.from({ length: 128 }, Math.random)))

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

describe("What collects garbage", () => {
  it.effect("takes it away when there is much of it", () =>
    Effect.gen(function* () {
      const collect = garbageCollector()
      const much = garbage(128 * 2 ** 20)
      yield* turn
      collect()
      const left = much.filter((each) => each.deref() !== undefined).length
      assert.isBelow(left / much.length, 0.1)
    })
  )
})
