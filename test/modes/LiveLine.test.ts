import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Ref } from "effect"
import { TestClock } from "effect/testing"
import { Output } from "../../src/layers/process/Output.ts"
import { lineOf, type Shown } from "../../src/modes/DemoRun.ts"
import { bar, liveLine } from "../../src/modes/LiveLine.ts"

/** All that is printed of totals that change from 1 to 2 and stay so. */
const printed = (
  columns: Option.Option<number>,
  line: (count: number) => string,
  more: { readonly share?: (count: number) => number } = {}
) =>
  Effect.gen(function* () {
    const texts: Array<string> = []
    const print = (text: string) => Effect.sync(() => void texts.push(text))
    const output = { print, flush: Effect.succeed(true), columns: Effect.succeed(columns) }
    const totals = yield* Ref.make(1)
    const showing = yield* liveLine(Ref.get(totals), { done: () => 0, lineOf: line, ...more }).pipe(
      Effect.provideService(Output, output),
      Effect.forkChild({ startImmediately: true })
    )
    yield* Ref.set(totals, 2)
    yield* TestClock.adjust("2 seconds")
    yield* Fiber.interrupt(showing)
    return texts
  })

describe("The live line", () => {
  it.effect("is written over in its place on a terminal, and left behind at the end", () =>
    Effect.gen(function* () {
      const texts = yield* printed(Option.some(80), String)
      assert.deepStrictEqual(texts, ["\r\u001b[J1", ...Array(11).fill("\r\u001b[J2"), "\n"])
    })
  )

  it.effect("is written over in all rows that it takes on a narrow one", () =>
    Effect.gen(function* () {
      const [first, second] = yield* printed(Option.some(10), () => "x".repeat(25))
      assert.strictEqual(first, `\r\u001b[J${"x".repeat(25)}`)
      assert.strictEqual(second, `\r\u001b[2A\u001b[J${"x".repeat(25)}`)
    })
  )

  it.effect("is a plain line for each change where there is no terminal", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* printed(Option.none(), String), ["2\n"])
    })
  )

  it.effect("tells how much of all is done: with a bar on a terminal, in percent elsewhere", () =>
    Effect.gen(function* () {
      const half = { share: (count: number) => count / 4 }
      const [onTerminal] = (yield* printed(Option.some(80), String, half)).slice(1)
      assert.strictEqual(onTerminal, `\r\u001b[J${bar(0.5)}2`)
      assert.deepStrictEqual(yield* printed(Option.none(), String, half), ["50 %  2\n"])
    })
  )

  it("has a bar as long as what is done", () => {
    assert.strictEqual(bar(0), `[${".".repeat(24)}] 0 %  `)
    assert.strictEqual(bar(0.5), `[${"#".repeat(12)}${".".repeat(12)}] 50 %  `)
    assert.strictEqual(bar(2), `[${"#".repeat(24)}] 100 %  `)
  })
})

const nothing: Shown = {
  stored: 0,
  duplicates: 0,
  deadLettered: 0,
  returned: 0,
  paid: 0,
  failed: 0,
  inDoubt: 0,
  open: 0,
  settled: 0
}

describe("The live line of the demonstration", () => {
  it("shows what was received, stored, found twice and set aside, and the rate, from the first moment", () => {
    assert.strictEqual(
      lineOf(Option.none())(nothing, 0),
      "0 received, 0 stored, 0 duplicates, 0 dead-lettered, 0/s; cards 0 paid, 0 failed; PIX 0 settled"
    )
    const some = { ...nothing, stored: 90, duplicates: 6, deadLettered: 3, returned: 1, open: 3, inDoubt: 1 }
    assert.strictEqual(
      lineOf(Option.none())(some, 45),
      "100 received, 90 stored, 6 duplicates, 3 dead-lettered, 45/s; cards 0 paid, 0 failed, 2 under way, 1 in doubt; PIX 0 settled"
    )
  })

  it("leaves out of a counted run what is no part of it", () => {
    const line = lineOf(Option.some(1000))({ ...nothing, stored: 500 }, 9)
    assert.match(line, /^500 received, .* 0 failed$/)
  })
})
