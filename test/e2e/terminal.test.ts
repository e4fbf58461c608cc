import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Lines from "../support/Lines.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import * as Terminal from "../support/Terminal.ts"

describe("one Ctrl-C in a terminal", () => {
  for (const command of ["bun run main --mode=worker", "npm run main -- --mode=worker"]) {
    it.live(`drains ${command}, and ends it with 0`, () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        yield* Stage.slowDown(stage, 50)
        yield* Stage.publish(stage, Stage.payments(3000))
        const env = { ...Stage.environmentOf(stage), BATCH_SIZE: "20", LOG_LEVEL: "debug", LOG_FORMAT: "json" }
        const terminal = yield* Terminal.start(command, env)
        yield* Lines.waitFor(terminal, '"batch"', 5)
        yield* terminal.press(Terminal.controlC)
        assert.strictEqual(yield* terminal.exit, 0)
        assert.strictEqual(Lines.count(terminal, "stopping"), 1)
        const stored = (yield* Stage.rows(stage)).map((row) => row.message_id)
        const waiting = (yield* Queues.takeAll(stage.brokerUrl, stage.queue)).map(Queues.idOf)
        assert.strictEqual(stored.length + waiting.length, 3000)
        assert.strictEqual(new Set([...stored, ...waiting]).size, 3000)
        assert.isAbove(waiting.length, 0)
      })
    )
  }

  it.live("drains npm start, and ends it with 0", () =>
    Effect.gen(function* () {
      const PAYSTREAM_DATA = yield* temporaryFolder("data")
      const terminal = yield* Terminal.start("npm start", { PAYSTREAM_DATA })
      yield* terminal.waitForLine(/[1-9]\d* stored/, { deadline: "60 seconds" })
      yield* terminal.press(Terminal.controlC)
      assert.strictEqual(yield* terminal.exit, 0)
    })
  )
})

describe("npm start with a count in a terminal", () => {
  it.live("shows one line that is written over, with a bar that fills", () =>
    Effect.gen(function* () {
      const PAYSTREAM_DATA = yield* temporaryFolder("data")
      const terminal = yield* Terminal.start("npm start -- --count=1000", { PAYSTREAM_DATA })
      assert.strictEqual(yield* terminal.exit, 0)
      const shown = terminal.stdout.filter((line) => line.includes(" received, "))
      for (const line of shown) assert.match(line.replaceAll("\u001b", "ESC"), writtenOver)
      assert.isAbove(shown.length, 1)
      assert.include(shown.at(-1), `[${"#".repeat(24)}] 100 %  1000 received, 1000 stored`)
      assert.include(terminal.stdout.join("\n"), "1000 published, 1000 stored: none lost, none doubled")
    })
  )
})

describe("help in a terminal", () => {
  it.live("has colours only where all that is printed is seen, and nobody asked for none", () =>
    Effect.gen(function* () {
      for (const [line, env, isColoured] of [
        ["bun run main --help", {}, true],
        ["bun run main --help", { NO_COLOR: "1" }, false],
        ["sh -c 'node src/main.ts outbox 2>&1 | cat'", {}, false]
      ] as const) {
        const terminal = yield* Terminal.start(line, env)
        yield* terminal.exit
        const shown = terminal.stdout.join("\n")
        assert.include(shown, "DESCRIPTION")
        assert.strictEqual(shown.includes("\u001b["), isColoured, `${line} ${JSON.stringify(env)}`)
      }
    })
  )
})

/** Up to where the last one began, which may have taken two rows; then all is cleared from there on. */
const writtenOver = /^(ESC\[\d+A)?ESC\[J\[#*\.*\] \d+ % {2}\d+ received, /
