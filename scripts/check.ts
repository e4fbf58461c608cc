/**
 * `npm run check`: types with Effect's diagnostics, format, lint and doors between rooms, dead code, documentation; and
 * the shell scripts where `shellcheck` is on the PATH.
 */
import { spawnSync } from "node:child_process"

const style = "format, lint, doors"

const checks: ReadonlyArray<readonly [what: string, ...command: ReadonlyArray<string>]> = [
  // The patch makes tsc report what Effect's own diagnostics find; a second time it changes nothing.
  ["Effect's diagnostics", "effect-tsgo", "patch"],
  ["types", "tsc", "--project", "."],
  [style, "biome", "check", "--error-on-warnings", "."],
  ["dead code", "knip", "--no-progress"],
  ["settings' documentation", process.execPath, "scripts/settings.ts", "--check"],
  ["the CustomResourceDefinition", process.execPath, "scripts/crd.ts", "--check"]
]

const shellScripts = [
  ".ci/run",
  "scripts/e2e.sh",
  "scripts/build_and_load_kind_images.sh",
  "test/support/kubernetes/node-init.sh"
]
const hasShellcheck = spawnSync("shellcheck", ["--version"]).status === 0
if (!hasShellcheck) console.log("not run: shell scripts, since shellcheck is not on the PATH")

const here = hasShellcheck ? [...checks, ["shell scripts", "shellcheck", ...shellScripts] as const] : checks
const failed = here.filter(([what, command = "", ...args]) => {
  const started = performance.now()
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${what} (${seconds} s)`)
  if (status !== 0) console.log(error?.message ?? `${stdout}${stderr}`)
  return status !== 0
})

if (failed.some(([what]) => what === style)) console.log("npm run format mends what can be mended by itself")
// not process.exit: what is printed into a pipe would be cut off
process.exitCode = failed.length === 0 ? 0 : 1
