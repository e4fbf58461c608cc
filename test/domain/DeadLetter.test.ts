import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { deadLetter } from "../../src/domain/DeadLetter.ts"
import { delivery } from "../support/Messages.ts"

const original = delivery({
  id: "id",
  body: Uint8Array.from([0, 255]),
  headers: { trace: "abc", table: { a: 1 }, "x-paystream-reason": "an older one" },
  contentType: "text/plain",
  publishedAtMillis: 5,
  attempt: 3
})

const letter = (error = "why") =>
  deadLetter({
    delivery: original,
    queue: "q.dlq",
    source: "q",
    reason: "invalid_json",
    error,
    time: "2026-01-01T00:00:00.000Z"
  })

describe("A dead letter", () => {
  it("is the message itself, for another queue", () => {
    const { headers: _, ...content } = letter()
    assert.deepStrictEqual(content, {
      queue: "q.dlq",
      id: "id",
      body: original.body,
      contentType: "text/plain",
      publishedAtMillis: 5
    })
  })

  it("keeps the headers, and says beside them why, whence, when and at which attempt", () => {
    assert.deepStrictEqual(letter().headers, {
      trace: "abc",
      table: { a: 1 },
      "x-paystream-reason": "invalid_json",
      "x-paystream-error": "why",
      "x-paystream-source": "q",
      "x-paystream-time": "2026-01-01T00:00:00.000Z",
      "x-paystream-attempt": 3
    })
  })

  it.prop("has an error that fits into a header frame and can be encoded", { error: Schema.String }, ({ error }) => {
    const text = letter(`${"😀".repeat(5000)}${error}`).headers["x-paystream-error"] as string
    assert.isTrue(text.isWellFormed() && text.length <= 4096)
    assert.isTrue((letter(error).headers["x-paystream-error"] as string).isWellFormed())
  })
})
