/** `npm run check`: types with Effect's diagnostics, format, lint and doors between rooms, dead code, documentation. */
import { spawnSync } from "node:child_process"

const checks: ReadonlyArray<readonly [what: string, ...command: ReadonlyArray<string>]> = [
  // The patch makes tsc report what Effect's own diagnostics find; a second time it changes nothing.
  ["Effect's diagnostics", "effect-tsgo", "patch"],
  ["types", "tsc", "--project", "."],
  ["format, lint, doors", "biome", "check", "--error-on-warnings", "."],
  ["dead code", "knip", "--no-progress"],
  ["settings' documentation", process.execPath, "scripts/settings.ts", "--check"],
  ["the CustomResourceDefinition", process.execPath, "scripts/crd.ts", "--check"]
]

const failed = checks.filter(([what, command = "", ...args]) => {
  const started = performance.now()
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${what} (${seconds} s)`)
  if (status !== 0) console.log(`${stdout}${stderr}`)
  return status !== 0
})

if (failed.length > 0) console.log(`mend what can be mended by itself: npm run format`)
// not process.exit: what is printed into a pipe would be cut off
process.exitCode = failed.length === 0 ? 0 : 1
