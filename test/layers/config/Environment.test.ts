import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as Environment from "../../../src/layers/config/Environment.ts"
import { execute } from "./support.ts"

const dotEnv = `
# a comment
PLAIN=one
export EXPORTED = two words   # and a comment
QUOTED="a # inside, \\n a line"
SINGLE='kept \\n as it is $HOME'
EMPTY=
__proto__=harmless
PLAIN=last
`

describe("parseDotEnv", () => {
  it.effect("takes quotes, comments, export, and the last of two", () =>
    Effect.gen(function* () {
      const variables = yield* Environment.parseDotEnv(dotEnv)
      assert.deepStrictEqual(variables.PLAIN, "last")
      assert.deepStrictEqual(variables.EXPORTED, "two words")
      assert.deepStrictEqual(variables.QUOTED, "a # inside, \n a line")
      assert.deepStrictEqual(variables.SINGLE, "kept \\n as it is $HOME")
      assert.deepStrictEqual(variables.EMPTY, "")
    })
  )

  it.effect("tells apart names that begin alike", () =>
    Effect.gen(function* () {
      const variables = yield* Environment.parseDotEnv(
        "RABBITMQ=a\nRABBITMQ_PASS=b\nRABBITMQ_PASS_FILE=c\nRABBITMQ__PASS=d"
      )
      assert.deepStrictEqual(variables, {
        RABBITMQ: "a",
        RABBITMQ_PASS: "b",
        RABBITMQ_PASS_FILE: "c",
        RABBITMQ__PASS: "d"
      })
    })
  )
})

describe("make", () => {
  const environment = Environment.make({ A: "a", B: "" })

  it("takes an empty variable for none, and nothing inherited for one", () => {
    assert.deepStrictEqual(["A", "B", "C", "constructor", "__proto__"].map(environment.get), [
      "a",
      ...Array.from({ length: 4 }, () => undefined)
    ])
  })

  it("is overridden variable by variable", () => {
    const overridden = Environment.override(environment, { A: "", B: "flag" })
    assert.deepStrictEqual(["A", "B"].map(overridden.get), [undefined, "flag"])
  })
})

describe("load", () => {
  const folder = Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "paystream-settings-"))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )

  it.effect(
    "reads .env of the working directory, and no other",
    () =>
      Effect.gen(function* () {
        const path = yield* folder
        writeFileSync(join(path, ".env"), "QUEUE_NAME=from-file\nBATCH_SIZE=7\nMAX_MESSAGES=5\n")
        writeFileSync(join(path, ".env.local"), "BATCHES_IN_FLIGHT=9\n")
        const seen = yield* execute(path, { QUEUE_NAME: "from-environment", MAX_MESSAGES: "" })
        assert.deepStrictEqual(JSON.parse(seen), { QUEUE_NAME: "from-environment", BATCH_SIZE: "7" })
      }),
    20_000
  )

  it.effect(
    "does without a .env",
    () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(JSON.parse(yield* execute(yield* folder, {})), {})
      }),
    20_000
  )

  it.effect(
    "names a .env that cannot be read",
    () =>
      Effect.gen(function* () {
        const path = yield* folder
        mkdirSync(join(path, ".env"))
        const exit = yield* Effect.exit(execute(path, {}))
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), ".env: got a file that cannot be read (EISDIR)")
      }),
    20_000
  )
})
