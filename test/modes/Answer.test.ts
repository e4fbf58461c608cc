/** The two forms of what a command answers. */
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Terminal } from "effect"
import * as Answer from "../../src/modes/Answer.ts"

/** What is printed, on a terminal as wide as that; 0 is none. */
const printed = (columns: number, answer: Effect.Effect<void, never, Terminal.Terminal>) =>
  Effect.gen(function* () {
    const out: Array<string> = []
    const error: Array<string> = []
    const spy = Object.assign(Object.create(console), {
      log: (text: string) => void out.push(text),
      error: (text: string) => void error.push(text)
    })
    const terminal = { columns: Effect.succeed(columns) } as Terminal.Terminal
    yield* answer.pipe(Effect.provideService(Console.Console, spy), Effect.provideService(Terminal.Terminal, terminal))
    return { out, error }
  })

const one = { name: "one", text: "a long text that needs its room" }
const listing = { record: (row: typeof one) => row, row: (row: typeof one) => row, nothing: "there is none" }

describe("An answer", () => {
  it.effect("for machines has every field, every digit, and nothing that moves a cursor", () =>
    Effect.gen(function* () {
      const value = {
        at: Answer.instant(0),
        never: Answer.instant(undefined),
        unknown: undefined,
        large: 2n ** 64n,
        given: Answer.written('{"n": 9007199254740993.10, "list": [1E400, null]}'),
        list: [{ unknown: undefined, hostile: "\u001b[2J" }]
      }
      const { out } = yield* printed(0, Answer.give(true, value, ""))
      assert.deepStrictEqual(out, [
        '{"at":"1970-01-01T00:00:00.000Z","never":null,"unknown":null,"large":"18446744073709551616",' +
          '"given":{"n":9007199254740993.10,"list":[1E400,null]},"list":[{"unknown":null,"hostile":"\\u001b[2J"}]}'
      ])
    })
  )

  it.effect("for people is a table where there is room, and else a card for each", () =>
    Effect.gen(function* () {
      const list = Answer.list(false, { ...listing, found: [one] })
      const wide = ["NAME  TEXT\none   a long text that needs its room"]
      assert.deepStrictEqual((yield* printed(80, list)).out, wide)
      assert.deepStrictEqual((yield* printed(0, list)).out, wide)
      assert.deepStrictEqual((yield* printed(20, list)).out, ["one\n  text  a long text that needs its room"])
    })
  )

  it.effect("for people shows what strangers have written, and does nothing of it", () =>
    Effect.gen(function* () {
      const list = Answer.list(false, { ...listing, found: [{ name: "\u001b[2J", text: "\u202e\n" }] })
      for (const columns of [0, 5]) assert.notMatch((yield* printed(columns, list)).out.join(), /(?!\n)[\p{Cc}\p{Cf}]/u)
    })
  )

  it.effect("of a list that is cut says so beside it, and of an empty one that there is nothing", () =>
    Effect.gen(function* () {
      const limit = { most: 1, which: "latest" }
      for (const isJson of [true, false]) {
        const cut = yield* printed(0, Answer.list(isJson, { ...listing, found: [one], limit }))
        assert.deepStrictEqual(cut.error, ["the latest 1; --limit shows more, if there are"])
        const empty = yield* printed(0, Answer.list(isJson, { ...listing, found: [], limit }))
        assert.deepStrictEqual(empty, { out: [isJson ? "[]" : "there is none"], error: [] })
      }
    })
  )
})
