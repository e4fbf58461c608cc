import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as WorkerIds from "../../src/domain/WorkerIds.ts"
import { stem } from "../../src/streams/Digests.ts"

const headers = (headers: Record<string, unknown> = {}) => ({ headers })
const Id = Schema.String.check(Schema.isMaxLength(300))
const Name = Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(16))

describe("Ids that are made of an input's", () => {
  it.effect("keep a short one as it is, and stand for a long one by its beginning and a hash of all of it", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* stem("order-1"), "order-1")
      const long = `${"x".repeat(400)}1`
      const other = `${"x".repeat(400)}2`
      assert.match(yield* stem(long), /^x{65}~[0-9a-f]{64}$/)
      assert.notStrictEqual(yield* stem(long), yield* stem(other))
    })
  )

  it.effect.prop("have at most 255 bytes, whatever they are made of", { id: Id, name: Name }, ({ id, name }) =>
    Effect.gen(function* () {
      for (const long of [id, id.repeat(5), `${"x".repeat(128)}😀${id}`, "😀".repeat(100) + id]) {
        const own = yield* stem(long)
        const made = [
          WorkerIds.outputId(own, name, Number.MAX_SAFE_INTEGER),
          WorkerIds.letterId(own, name, headers()),
          WorkerIds.letterId(own, name, headers({ "x-paystream-replay": "r".repeat(36) }))
        ]
        for (const one of made) assert.isAtMost(WorkerIds.bytesIn(one), WorkerIds.longestId)
        assert.strictEqual(new Set(made).size, made.length)
      }
    })
  )

  it("tell two groups' dead letters of one input apart, and two replays", () => {
    const letters = [
      WorkerIds.letterId("i", "a", headers()),
      WorkerIds.letterId("i", "b", headers()),
      WorkerIds.letterId("i", "a", headers({ "x-paystream-replay": "r1" })),
      WorkerIds.letterId("i", "a", headers({ "x-paystream-replay": "r2" }))
    ]
    assert.strictEqual(new Set(letters).size, 4)
  })

  it("tell an input, its parkings and its replays apart, and are the same for both copies of one parking", () => {
    const of = (own: Record<string, unknown>) => WorkerIds.identityOf("i", headers(own))
    const parked = of({ "x-paystream-parked": 1 })
    const all = [of({}), parked, of({ "x-paystream-parked": 2 }), of({ "x-paystream-replay": "1" })]
    assert.strictEqual(new Set(all.map(({ parking }) => parking)).size, 4)
    assert.deepStrictEqual(parked, of({ "x-paystream-parked": 1, trace: "t" }))
    assert.deepStrictEqual(new Set(all.map(({ input }) => input)).size, 2)
  })

  it.prop("are text that a database takes, whatever the id", { id: Schema.String }, ({ id }) => {
    const { input, parking } = WorkerIds.identityOf(`${id}\0\ud83d`, headers())
    for (const text of [input, parking]) assert.isTrue(text.isWellFormed() && !text.includes("\0"))
  })
})
