import { assert, describe, it } from "@effect/vitest"
import { Headers } from "effect/http"
import { callersTrace } from "../../../src/layers/http/CallersTrace.ts"

const [trace, parent] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"]
const traceparent = `00-${trace}-${parent}-01`

const traceOf = (headers: Record<string, string>) => callersTrace(Headers.fromInput(headers))

describe("The trace of a request's caller", () => {
  it("is what its headers say, as they say it, flags and versions that are not known included", () => {
    for (const taken of [traceparent, `00-${trace}-${parent}-00`, `cc-${trace}-${parent}-f7`])
      assert.deepStrictEqual(traceOf({ traceparent: taken }), { traceparent: taken })
    const tracestate = "vendor=1,other=two words"
    assert.deepStrictEqual(traceOf({ traceparent, tracestate }), { traceparent, tracestate })
  })

  it("is none where there is none, or none that anybody could go on with", () => {
    const none = [
      {},
      { tracestate: "vendor=1" },
      { traceparent: "" },
      { traceparent: traceparent.toUpperCase() },
      { traceparent: `${traceparent}-more` },
      { traceparent: `ff-${trace}-${parent}-01` },
      { traceparent: `00-${"0".repeat(32)}-${parent}-01` },
      { traceparent: `00-${trace}-${"0".repeat(16)}-01` }
    ]
    for (const headers of none) assert.isUndefined(traceOf(headers as Record<string, string>))
  })

  it("goes on without what was noted on it where that is longer than has to be passed on, or no text", () => {
    for (const tracestate of ["", `vendor=${"1".repeat(506)}`, "vendor=ä"])
      assert.deepStrictEqual(traceOf({ traceparent, tracestate }), { traceparent })
    const longest = `vendor=${"1".repeat(505)}`
    assert.deepStrictEqual(traceOf({ traceparent, tracestate: longest }), { traceparent, tracestate: longest })
  })
})
