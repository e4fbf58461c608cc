/** What a module of workers may get wrong: the process ends, and says what it was, and where. */

import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, inject, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const sound = 'export const w = Worker.make("w", { topic: "t" }, () => Effect.void)'

/** The path of a module with these lines, and how the process ends that runs it. */
const outcomeOf = Effect.fnUntraced(function* (...lines: ReadonlyArray<string>) {
  const module = join(yield* temporaryFolder("module"), "workers.ts")
  const imports = ['import { Effect, Layer } from "effect"', 'import { Worker } from "paystream"']
  writeFileSync(module, [...imports, ...lines, ""].join("\n"))
  const args = ["--mode=consumers", `--workers=${module}`]
  const env = { RABBITMQ_URL: inject("rabbitmqUrl"), DATABASE: "none", HEALTH_PORT: "0" }
  const program = yield* Program.start({ runtime: "node", args, env })
  return { module, code: yield* program.exit, said: program.stderr.join("\n") }
})

describe("A module's onStart", () => {
  it.live("ends the process when it fails, and says why", () =>
    Effect.gen(function* () {
      const failing = 'export const onStart = Effect.fail(new Error("no sample at hand"))'
      const { code, module, said } = yield* outcomeOf(sound, failing)
      assert.strictEqual(code, 1)
      assert.include(said, `the onStart of the module ${module} failed: no sample at hand`)
    })
  )
})

describe("A module's layer", () => {
  for (const how of ["fail", "die"]) {
    it.live(`ends the process, and is named, when it ${how}s`, () =>
      Effect.gen(function* () {
        const failing = `export const layer = Layer.effectDiscard(Effect.${how}(new Error("no warehouse")))`
        const { code, module, said } = yield* outcomeOf(sound, failing)
        assert.strictEqual(code, 1)
        assert.include(said, `the layer of the module ${module} failed: no warehouse`)
      })
    )
  }
})

describe("A module's worker without process", () => {
  it.live("is refused by its name at the start", () =>
    Effect.gen(function* () {
      const { code, said } = yield* outcomeOf(
        sound,
        'export const orders = Worker.make("orders", { topic: "o" }, Effect.succeed({ onSuccess: () => Effect.void }))'
      )
      assert.strictEqual(code, 2)
      assert.include(said, "worker orders: its handlers lack `process`")
    })
  )
})
