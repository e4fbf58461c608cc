/** Runs a command with the pinned programs first on the PATH: `node scripts/run.mjs bun --no-env-file src/main.ts`. */
import { spawn } from "node:child_process"
import { constants } from "node:os"
import { delimiter } from "node:path"
import { programs, setUp } from "./setup.mjs"

const [command, ...args] = process.argv.slice(2)
if (command === undefined) {
  console.error("usage: node scripts/run.mjs <command> [arguments]")
  process.exit(2)
}

setUp()
// a session of its own: Ctrl-C reaches the command once, through us, and not again from the terminal
const child = spawn(command, args, {
  detached: true,
  env: { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH}` },
  stdio: "inherit"
})
child.on("error", (error) => {
  console.error(`paystream: cannot run ${command}: ${error.message}`)
  process.exit(1)
})
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))

// the terminal and npm both tell us of one Ctrl-C, and to the command a second one means "at once"
const sameKeyPress = 500
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  let last = -Infinity
  process.on(signal, () => {
    const now = performance.now()
    if (now - last > sameKeyPress) child.kill(signal)
    last = now
  })
}
