import { Console as NodeConsole } from "node:console"
import { PassThrough } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as Logs from "../../../src/layers/telemetry/Logs.ts"

/** All that was written: one read may give one write only. */
const textOf = (stream: PassThrough): string => {
  const chunk = stream.read()
  return chunk === null ? "" : `${chunk}${textOf(stream)}`
}

/** What a process prints of one warning, and of one line that is below its level. */
const printed = (format: "pretty" | "logfmt" | "json", layerOf = Logs.layer) =>
  Effect.gen(function* () {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const console = new NodeConsole({ stdout, stderr, colorMode: false })
    yield* Effect.logWarning("the queue is gone").pipe(
      Effect.annotateLogs({ queue: "payments" }),
      Effect.andThen(Effect.logDebug("not asked for")),
      Effect.provide(layerOf({ format, level: "Info" })),
      Effect.provideService(Console.Console, console)
    )
    return { stdout: textOf(stdout), stderr: textOf(stderr) }
  })

const looks = {
  pretty: /^\[[\d:.]+\] WARN \(#\d+\): the queue is gone\n\s*queue: payments\n$/,
  logfmt: /^timestamp=\S+ level=WARN fiber=#?\d+ message="the queue is gone" queue=payments\n$/,
  json: /^\{.*"level":"WARN".*\}\n$/
} as const

describe("The log", () => {
  for (const format of ["pretty", "logfmt", "json"] as const) {
    it.effect(`as ${format} has one entry with its level, text and annotations`, () =>
      Effect.gen(function* () {
        const { stderr, stdout } = yield* printed(format)
        assert.match(stdout, looks[format])
        assert.strictEqual(stderr, "")
      })
    )

    it.effect(`as ${format} leaves the standard output to an answer that it stands beside`, () =>
      Effect.gen(function* () {
        const { stderr, stdout } = yield* printed(format, Logs.besideAnswer)
        assert.match(stderr, looks[format])
        assert.strictEqual(stdout, "")
      })
    )
  }
})
