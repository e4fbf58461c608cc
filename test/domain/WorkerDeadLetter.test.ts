import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { type WorkerFailure, workerDeadLetter } from "../../src/domain/WorkerDeadLetter.ts"
import { bytes, delivery, text } from "../support/Messages.ts"

const failure = (fields: Partial<WorkerFailure> = {}): WorkerFailure => ({
  delivery: delivery({ id: "id", publishedAtMillis: 5, attempt: 2, headers: { trace: "abc", key: "k" } }),
  id: "id/order-processor.dlq",
  original: { text: "{}", isJson: true },
  worker: "Orders",
  group: "order-processor",
  isFromOwnQueue: false,
  source: "orders.created",
  deadLetterTopic: "orders.dlq",
  reason: "retries_exhausted",
  error: "no stock",
  retries: 3,
  time: "2026-01-01T00:00:00.000Z",
  ...fields
})

const bodyOf = (fields: Partial<WorkerFailure>): string => text(workerDeadLetter(failure(fields)).body)

describe("A worker's dead letter", () => {
  it("is exactly the original, the error, the worker and the retries", () => {
    assert.strictEqual(
      bodyOf({ original: { text: '{"orderId":1}', isJson: true } }),
      '{"original":{"orderId":1},"error":"no stock","worker":"Orders","retries":3}'
    )
  })

  for (const json of ["12345678901234567890.10", "1e400", "-0", ' { "a" : 1.000 } ', "null", '"\\ud800"']) {
    it(`has ${json} as it was received, digit by digit`, () => {
      const body = bodyOf({ original: { text: json, isJson: true } })
      assert.strictEqual(body, `{"original":${json},"error":"no stock","worker":"Orders","retries":3}`)
    })
  }

  it.prop("has what is not JSON as text", { content: Schema.String }, ({ content }) => {
    const body = bodyOf({ original: { text: content, isJson: false } })
    assert.strictEqual(JSON.parse(body).original, content)
  })

  it("has what is not UTF-8 in a header, byte for byte, as base64", () => {
    const body = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const letter = workerDeadLetter(
      failure({ delivery: delivery({ body }), original: { text: undefined, isJson: false } })
    )
    assert.isNull(JSON.parse(text(letter.body)).original)
    const header = String(letter.headers["x-paystream-original-base64"])
    assert.deepStrictEqual([...Buffer.from(header, "base64")], [...body])
  })

  it("has no such header when the original is text", () => {
    assert.notProperty(workerDeadLetter(failure()).headers, "x-paystream-original-base64")
  })

  it("goes to the dead-letter topic with an id of its own, the original's time, as JSON", () => {
    const { body: _, headers: __, ...content } = workerDeadLetter(failure())
    assert.deepStrictEqual(content, {
      topic: "orders.dlq",
      id: "id/order-processor.dlq",
      contentType: "application/json",
      publishedAtMillis: 5
    })
  })

  it("keeps the headers, and says beside them why, whence, when, at which attempt and in which group", () => {
    assert.deepStrictEqual(workerDeadLetter(failure()).headers, {
      trace: "abc",
      key: "k",
      "x-paystream-reason": "retries_exhausted",
      "x-paystream-error": "no stock",
      "x-paystream-source": "orders.created",
      "x-paystream-time": "2026-01-01T00:00:00.000Z",
      "x-paystream-attempt": 2,
      "x-paystream-group": "order-processor",
      "x-paystream-message-id": "id"
    })
    const typed = delivery({ contentType: "text/plain" })
    const { headers } = workerDeadLetter(failure({ delivery: typed, original: { text: "x", isJson: false } }))
    assert.strictEqual(headers["x-paystream-content-type"], "text/plain")
    assert.strictEqual(headers["x-paystream-original-form"], "text")
  })

  it.prop(
    "is JSON with a short and well-formed error, whatever the error says",
    { error: Schema.String },
    ({ error }) => {
      const { body, headers } = workerDeadLetter(failure({ error: `${error}${"😀".repeat(3000)}` }))
      const told: string = JSON.parse(text(body)).error
      assert.isTrue(told.isWellFormed() && told.length <= 4096)
      assert.strictEqual(headers["x-paystream-error"], told)
    }
  )

  it("holds a body that is not UTF-8 in its own body where it is too large for a header", () => {
    const body = bytes("x".repeat(2_000_000)).fill(255)
    const letter = workerDeadLetter(
      failure({ delivery: delivery({ body }), original: { text: undefined, isJson: false } })
    )
    const { original, originalBase64 } = JSON.parse(new TextDecoder().decode(letter.body))
    assert.strictEqual(original, null)
    assert.strictEqual(originalBase64.length, Math.ceil(2_000_000 / 3) * 4)
    assert.isUndefined(letter.headers["x-paystream-original-base64"])
  })
})
