/** What the tests of settings share. */

import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import * as Environment from "../../../src/layers/config/Environment.ts"
import type { Problem } from "../../../src/layers/config/Problem.ts"
import type { Group } from "../../../src/layers/config/Setting.ts"

type Variables = Readonly<Record<string, string>>

/** An environment of these variables, and of these files. */
export const environmentOf = (variables: Variables, files: Variables = {}) =>
  Environment.make(variables, (path) => {
    const text = files[path]
    return text === undefined ? Result.fail("ENOENT") : Result.succeed(text)
  })

export const settingsOf = <A>(group: Group<A>, variables: Variables, files: Variables = {}): A => {
  const reading = group.read(environmentOf(variables, files))
  assert.deepStrictEqual(Result.isFailure(reading) ? reading.failure : [], [])
  return Result.getOrThrow(reading)
}

export const problemsOf = (
  group: Group<unknown>,
  variables: Variables,
  files: Variables = {}
): ReadonlyArray<Problem> => {
  const reading = group.read(environmentOf(variables, files))
  return Result.isFailure(reading) ? reading.failure : []
}

/** What an environment or an address can hold: any characters but NUL and halves of a pair, and at least one. */
export const anyText = Arbitrary.map(Arbitrary.schema(Schema.String.check(Schema.isMinLength(1))), (text) =>
  text.toWellFormed().replaceAll("\u0000", "\u0001")
)

const loading = fileURLToPath(new URL("../../../src/layers/config/Environment.ts", import.meta.url))
const script = `
  import { Effect } from ${JSON.stringify(fileURLToPath(import.meta.resolve("effect")))}
  import { load } from ${JSON.stringify(loading)}
  const environment = await Effect.runPromise(load)
  const names = ["QUEUE_NAME", "BATCH_SIZE", "BATCHES_IN_FLIGHT", "MAX_MESSAGES"]
  console.log(JSON.stringify(Object.fromEntries(names.map((name) => [name, environment.get(name)]))))
`

/** What a process of this runtime, started in that folder, finds in its environment. */
export const execute = (folder: string, variables: Variables) => {
  const flags = process.versions.bun === undefined ? ["--input-type=module", "--eval"] : ["--no-env-file", "--eval"]
  const options = { cwd: folder, env: { PATH: process.env.PATH, ...variables } }
  return Effect.map(
    Effect.tryPromise({
      try: () => promisify(execFile)(process.execPath, [...flags, script], options),
      catch: String
    }),
    ({ stdout }) => stdout
  )
}
