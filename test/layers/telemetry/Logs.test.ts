import { Console as NodeConsole } from "node:console"
import { PassThrough } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Console, Effect, Logger, Record, Redacted, Schema, Struct } from "effect"
import * as Logs from "../../../src/layers/telemetry/Logs.ts"

/** All that was written: one read may give one write only. */
const textOf = (stream: PassThrough): string => {
  const chunk = stream.read()
  return chunk === null ? "" : `${chunk}${textOf(stream)}`
}

/** What a process prints as it does that. */
const written = (effect: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    yield* Effect.provideService(effect, Console.Console, new NodeConsole({ stdout, stderr, colorMode: false }))
    return { stdout: textOf(stdout), stderr: textOf(stderr) }
  })

/** What a process prints of one warning, and of one line that is below its level. */
const printed = (format: "pretty" | "logfmt" | "json", layerOf = Logs.layer) =>
  written(
    Effect.logWarning("the queue is gone").pipe(
      Effect.annotateLogs({ queue: "payments" }),
      Effect.andThen(Effect.logDebug("not asked for")),
      Effect.provide(layerOf({ format, level: "Info" }))
    )
  )

const circle: { self?: unknown } = {}
circle.self = circle

const specials = {
  secret: Redacted.make("hunter2"),
  secretWithin: { list: [1, { password: Redacted.make("hunter2") }] },
  error: new Error("it went wrong"),
  circle,
  bigint: 2n ** 64n,
  nothing: undefined,
  notANumber: Number.NaN
} as const

/** What somebody may want to log. */
const Value = Schema.Union([
  Schema.String,
  Schema.Finite,
  Schema.Boolean,
  Schema.Struct({ special: Schema.Literals(Struct.keys(specials)) })
])

const logged = (value: typeof Value.Type): unknown => (typeof value === "object" ? specials[value.special] : value)

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
  it.effect.prop(
    "as json is written as Effect writes it, whatever is in it",
    { annotations: Schema.Record(Schema.String, Value), message: Value },
    ({ annotations, message }) =>
      Effect.gen(function* () {
        const line = Effect.annotateLogs(Effect.logInfo(logged(message)), Record.map(annotations, logged))
        const { stderr, stdout } = yield* written(Effect.provide(line, Logs.layer({ format: "json", level: "Info" })))
        assert.deepStrictEqual(
          { stderr, stdout },
          yield* written(Effect.provide(line, Logger.layer([Logger.consoleJson])))
        )
        assert.notInclude(stdout, "hunter2")
      })
  )
})
