import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as CommitNote from "../../../src/layers/kafka/CommitNote.ts"
import * as DueQueue from "../../../src/layers/kafka/DueQueue.ts"
import * as PartitionProgress from "../../../src/layers/kafka/PartitionProgress.ts"

const numbers = (minimum: number, maximum: number, most: number) =>
  Schema.Array(Schema.Int.check(Schema.isBetween({ minimum, maximum }))).check(Schema.isMaxLength(most))

/** Offsets with gaps, as compaction leaves them. */
const offsetsOf = (start: number, gaps: ReadonlyArray<number>) => {
  let offset = start
  return gaps.map((gap) => {
    offset += gap
    return offset
  })
}

const cases = {
  start: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 10_000 })),
  gaps: numbers(1, 3, 200),
  order: numbers(0, 199, 300)
}
const options = { arbitrary: { runs: 300, size: 200 } }

describe("The progress on a partition", () => {
  it.prop(
    "never lets a commit pass what is not finished, and forgets nothing that is",
    cases,
    ({ gaps, order, start }) => {
      const offsets = offsetsOf(start, gaps)
      const progress = PartitionProgress.make(start)
      for (const offset of offsets) assert.isTrue(progress.receive(offset))
      const finished = new Set<number>()
      for (const index of order) {
        const offset = offsets[index]
        if (offset === undefined || finished.has(offset)) continue
        progress.finish(offset)
        finished.add(offset)
        const lowest = offsets.find((one) => !finished.has(one)) ?? (offsets.at(-1) ?? 0) + 1
        assert.strictEqual(progress.lowestUnfinished(), lowest)
        const above = progress.finishedAbove()
        const isAbove = (one: number) => above.some(([first, last]) => one >= first && one <= last)
        for (const one of offsets) assert.strictEqual(isAbove(one), one > lowest && finished.has(one))
        assert.strictEqual(progress.unfinished(), offsets.length - finished.size)
      }
    },
    options
  )

  it.prop(
    "goes on after a commit with exactly what was not finished",
    cases,
    ({ gaps, order, start }) => {
      const offsets = offsetsOf(start, gaps)
      const before = PartitionProgress.make(start)
      for (const offset of offsets) before.receive(offset)
      const finished = new Set(order.map((index) => offsets[index]).filter((offset) => offset !== undefined))
      for (const offset of finished) before.finish(offset)
      const committed = before.lowestUnfinished() ?? 0
      const note = { owner: "process:consumer", state: "held", finishedAbove: before.finishedAbove() } as const
      const read = CommitNote.decode(CommitNote.encode(note, committed), committed)
      assert.deepStrictEqual(read, note)
      const after = PartitionProgress.make(committed, read?.finishedAbove)
      assert.deepStrictEqual(
        offsets.filter((offset) => offset >= committed && after.receive(offset)),
        offsets.filter((offset) => !finished.has(offset))
      )
    },
    options
  )

  it("keeps what an earlier owner finished until it is read again, and passes what is no record", () => {
    const progress = PartitionProgress.make(10, [
      [12, 13],
      [20, 25]
    ])
    assert.deepStrictEqual([10, 11, 12, 13, 14].map(progress.receive), [true, true, false, false, true])
    progress.finish(10)
    assert.strictEqual(progress.lowestUnfinished(), 11)
    assert.deepStrictEqual(progress.finishedAbove(), [
      [12, 13],
      [20, 25]
    ])
    progress.finish(11)
    progress.finish(14)
    progress.advance(17)
    assert.strictEqual(progress.lowestUnfinished(), 17)
    assert.isFalse(progress.receive(16))
  })

  it("knows nothing where nothing was committed, until something is read", () => {
    const progress = PartitionProgress.make(undefined)
    assert.isUndefined(progress.lowestUnfinished())
    progress.receive(7)
    assert.strictEqual(progress.lowestUnfinished(), 7)
  })
})

describe("The note beside a commit", () => {
  it("fits into what Kafka takes, and loses only the highest ranges", () => {
    const finishedAbove = Array.from({ length: 5_000 }, (_, index) => [100 + index * 2, 100 + index * 2] as const)
    const text = CommitNote.encode({ owner: "a:b", state: "released", finishedAbove }, 99)
    assert.isAtMost(Buffer.byteLength(text), 4_096)
    const kept = CommitNote.decode(text, 99)?.finishedAbove ?? []
    assert.isAbove(kept.length, 500)
    assert.deepStrictEqual(kept, finishedAbove.slice(0, kept.length))
  })

  it("is none where another program has committed", () => {
    for (const text of [null, undefined, "", "event-id-3", "paystream1 held"]) {
      assert.isUndefined(CommitNote.decode(text, 0))
    }
  })
})

describe("What waits for a time", () => {
  it.prop("comes when it is due, the earliest first", { due: numbers(0, 50, 100) }, ({ due }) => {
    const queue = DueQueue.make<number>()
    due.forEach((millis, index) => {
      queue.add(millis, index)
    })
    const taken: Array<number> = []
    for (let now = 0; now <= 50; now++) {
      for (let next = queue.take(now); next !== undefined; next = queue.take(now)) {
        assert.strictEqual(due[next], now)
        taken.push(next)
      }
    }
    assert.strictEqual(taken.length, due.length)
    // Those of one time in the order in which they came.
    taken.forEach((one, index) => {
      const before = taken[index - 1]
      if (before !== undefined && due[before] === due[one]) assert.isBelow(before, one)
    })
  })
})
