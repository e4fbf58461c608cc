import { assert, describe, it } from "@effect/vitest"
import * as AssignedPartition from "../../../src/layers/kafka/AssignedPartition.ts"
import * as WaitingRecords from "../../../src/layers/kafka/WaitingRecords.ts"
import { message } from "../../support/Messages.ts"

const partition = (topic: string) =>
  AssignedPartition.make({
    topic,
    partition: 0,
    owner: "me",
    offset: 0,
    note: undefined,
    suspects: 0,
    nowMillis: 0
  })

const record = (of: AssignedPartition.AssignedPartition, bytes: number, dueMillis?: number) => ({
  partition: of,
  offset: bytes,
  content: message("orders", { body: new Uint8Array(bytes) }),
  dueMillis,
  attempt: 1
})

describe("Records that wait", () => {
  it("for a time are counted in bytes until they are taken, or their partition is dropped", () => {
    const waiting = WaitingRecords.make()
    const [first, second] = [partition("first.retry"), partition("second.retry")]
    waiting.add(record(first, 100, 10))
    waiting.add(record(first, 20, 30))
    waiting.add(record(second, 3, 20))
    waiting.add(record(first, 1000))
    assert.strictEqual(waiting.dueBytes(), 123)
    assert.deepStrictEqual(waiting.size(), { count: 1, bytes: 1000 })
    assert.strictEqual(waiting.next(10)?.offset, 100)
    assert.strictEqual(waiting.dueBytes(), 23)
    waiting.drop(first)
    assert.strictEqual(waiting.dueBytes(), 3)
    assert.strictEqual(waiting.next(20)?.offset, 3)
    assert.strictEqual(waiting.dueBytes(), 0)
  })
})
