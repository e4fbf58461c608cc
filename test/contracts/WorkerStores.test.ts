/** The stores behind topic workers pass their contracts. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, type Redacted } from "effect"
import { CrashMarks } from "../../src/domain/ports/CrashMarks.ts"
import { FinishedInputs } from "../../src/domain/ports/FinishedInputs.ts"
import * as MemoryCrashMarks from "../../src/layers/memory/MemoryCrashMarks.ts"
import * as MemoryFinishedInputs from "../../src/layers/memory/MemoryFinishedInputs.ts"
import * as PostgresCrashMarks from "../../src/layers/postgres/PostgresCrashMarks.ts"
import * as PostgresFinishedInputs from "../../src/layers/postgres/PostgresFinishedInputs.ts"
import { newDatabase } from "../support/Databases.ts"
import { type PostgresOptions, postgresClient } from "../support/Services.ts"
import * as CrashMarksContract from "./CrashMarksContract.ts"
import * as FinishedInputsContract from "./FinishedInputsContract.ts"

const stores = (url: Redacted.Redacted, options: PostgresOptions = {}) => {
  const settings = { address: "the test's", migrateOnStart: options.migrateOnStart ?? true }
  return Layer.merge(PostgresFinishedInputs.layer(settings), PostgresCrashMarks.layer(settings)).pipe(
    Layer.provide(postgresClient(url, options))
  )
}

const prepared = (options?: PostgresOptions) =>
  Layer.unwrap(Effect.map(newDatabase, (url) => stores(url, options))).pipe(
    Layer.tap((services) => Context.get(services, FinishedInputs).prepare)
  )

FinishedInputsContract.suite("memory", MemoryFinishedInputs.layer)
FinishedInputsContract.suite("PostgreSQL", prepared())
FinishedInputsContract.suite("PostgreSQL without prepared statements", prepared({ prepare: false }))
CrashMarksContract.suite("memory", MemoryCrashMarks.layer)
CrashMarksContract.suite("PostgreSQL", prepared())

describe("The stores in PostgreSQL", () => {
  it.live("keep marks and finished inputs beyond the process that made them", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const input = { consumer: "t.g", identity: "a" }
      const process = <A, E>(use: Effect.Effect<A, E, FinishedInputs | CrashMarks>) =>
        Effect.provide(use, stores(url), { local: true })
      yield* process(
        Effect.gen(function* () {
          yield* (yield* FinishedInputs).prepare
          yield* (yield* FinishedInputs).record([input])
          yield* (yield* CrashMarks).begin(input)
        })
      )
      const after = Effect.gen(function* () {
        return [yield* (yield* FinishedInputs).find([input]), yield* (yield* CrashMarks).begin(input)]
      })
      assert.deepStrictEqual(yield* process(after), [[true], 1])
    })
  )

  it.live("name the migrations that are missing where they may not make them", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      const prepare = FinishedInputs.use(({ prepare }) => Effect.flip(prepare))
      const error = yield* Effect.provide(prepare, stores(url, { migrateOnStart: false }), { local: true })
      assert.strictEqual(error.reason._tag, "StoreOutdated")
      assert.match(error.message, /0002_finished_inputs, 0003_crash_marks.*--mode=migrate/)
    })
  )
})
