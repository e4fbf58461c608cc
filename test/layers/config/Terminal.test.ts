import { assert, describe, it } from "@effect/vitest"
import { hasColors, isTerminal } from "../../../src/layers/config/Terminal.ts"

const [terminal, pipe] = [{ isTTY: true }, {}]

describe("What is printed", () => {
  it("has colours where all of it goes to a terminal, and NO_COLOR is unset or empty", () => {
    assert.isTrue(hasColors([terminal, terminal], undefined))
    assert.isTrue(hasColors([terminal, terminal], ""))
  })

  it("has none where somebody asked for none, or a part of it goes elsewhere", () => {
    assert.isFalse(hasColors([terminal, terminal], "1"))
    assert.isFalse(hasColors([terminal, terminal], "0"))
    assert.isFalse(hasColors([terminal, pipe], undefined))
    assert.isFalse(hasColors([pipe, terminal], undefined))
  })

  it("is seen by somebody where it goes to a terminal", () => {
    assert.deepStrictEqual([isTerminal(terminal), isTerminal(pipe)], [true, false])
  })
})
