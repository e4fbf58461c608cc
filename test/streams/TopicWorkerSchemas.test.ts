import { assert, describe } from "@effect/vitest"
import { Effect, Schema, SchemaGetter } from "effect"
import * as Worker from "../../src/streams/Worker.ts"
import { text } from "../support/Messages.ts"
import { deadLetter, depth, onStage, send, start, watch } from "../support/TopicStage.ts"

describe("A topic worker that cannot read its input or write its output", () => {
  const throwing = Schema.String.pipe(
    Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.transform((): string => {
        throw new Error("thrown by the schema")
      }),
      encode: SchemaGetter.transform((): string => {
        throw new Error("thrown by the schema")
      })
    })
  )
  const inputs: ReadonlyArray<readonly [name: string, body: string, original: string, problem: RegExp]> = [
    ["what is not JSON", "{oops", '"{oops"', /not JSON/],
    ["an empty body", "", '""', /not JSON/],
    ["what the schema does not take", '{"n":"one"}', '{"n":"one"}', /Expected number.*"n"/s]
  ]
  for (const [name, body, original, problem] of inputs) {
    onStage(`dead-letters ${name} at once`, () =>
      Effect.gen(function* () {
        let runs = 0
        const worker = Worker.make("w", { topic: "in", input: Schema.Struct({ n: Schema.Finite }) }, () =>
          Effect.sync(() => void runs++)
        )
        const { endings } = yield* start(worker)
        yield* send("in", body)
        assert.deepStrictEqual([runs, endings], [0, ["dead_lettered"]])
        const letter = yield* deadLetter("in")
        assert.strictEqual(letter.headers["x-paystream-reason"], "invalid_input")
        assert.match(String(letter.headers["x-paystream-error"]), problem)
        assert.isTrue(text(letter.body).startsWith(`{"original":${original},"error":`))
      })
    )
  }

  onStage("dead-letters what is not UTF-8 with the bytes in a header", () =>
    Effect.gen(function* () {
      yield* start(Worker.make("w", { topic: "in" }, () => Effect.void))
      yield* send("in", "", { body: Uint8Array.of(255, 0) })
      const letter = yield* deadLetter("in")
      assert.deepStrictEqual(
        [letter.headers["x-paystream-reason"], letter.headers["x-paystream-original-base64"]],
        ["invalid_input", "/wA="]
      )
    })
  )

  onStage("names every problem of an input", () =>
    Effect.gen(function* () {
      const input = Schema.Struct({ a: Schema.Finite, b: Schema.Finite })
      yield* start(Worker.make("w", { topic: "in", input }, () => Effect.void))
      yield* send("in", "{}")
      const letter = yield* deadLetter("in")
      assert.match(String(letter.headers["x-paystream-error"]), /"a".*"b"/s)
    })
  )

  const outputs: ReadonlyArray<readonly [name: string, worker: Worker.Any<never>]> = [
    [
      "an output that the schema does not take",
      Worker.make("w", { topic: "in", outputTopic: "out", output: Schema.Struct({ n: Schema.Int }) }, () =>
        Effect.succeed({ n: 1.5 })
      )
    ],
    [
      "an output that JSON cannot hold",
      Worker.make("w", { topic: "in", outputTopic: "out" }, () => Effect.succeed(1n))
    ],
    [
      "an output that is no value of JSON",
      Worker.make("w", { topic: "in", outputTopic: "out" }, () => Effect.succeed(() => 1))
    ],
    [
      "an output on which its schema throws",
      Worker.make("w", { topic: "in", outputTopic: "out", output: throwing }, () => Effect.succeed("x"))
    ]
  ]
  for (const [name, worker] of outputs) {
    onStage(`dead-letters the input of ${name}, at once, and publishes nothing`, () =>
      Effect.gen(function* () {
        yield* watch("out")
        const { endings } = yield* start(worker)
        yield* send("in", "12.50")
        assert.deepStrictEqual([endings, yield* depth("out.watch")], [["dead_lettered"], 0])
        const letter = yield* deadLetter("in")
        assert.strictEqual(letter.headers["x-paystream-reason"], "invalid_output")
        assert.isTrue(text(letter.body).startsWith('{"original":12.50,"error":'))
      })
    )
  }

  onStage("takes an exception of the input's schema for a wrong input", () =>
    Effect.gen(function* () {
      const { endings } = yield* start(Worker.make("w", { topic: "in", input: throwing }, () => Effect.void))
      yield* send("in", '"x"')
      assert.deepStrictEqual(endings, ["dead_lettered"])
    })
  )

  onStage("needs no JSON of a result that goes nowhere", () =>
    Effect.gen(function* () {
      const { endings } = yield* start(Worker.make("w", { topic: "in" }, () => Effect.succeed(1n)))
      yield* send("in", "1")
      assert.deepStrictEqual(endings, ["done"])
    })
  )
})
