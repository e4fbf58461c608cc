/** Every command of the guide to jobs is run, as it is written there, on the module that it shows. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as HealthPages from "../support/HealthPages.ts"
import { ground, withOwnJobs } from "../support/JobGround.ts"
import { spawn } from "../support/servers/Child.ts"
import { freePort } from "../support/servers/freePort.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"
import { type Command, commandsOf, textOf } from "../support/Walkthrough.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** `bun run main` in a folder that is not ours. */
const bunRunMain = `bun() { shift 2; exec '${root}/node_modules/.bin/bun' --no-env-file '${root}/src/main.ts' "$@"; }`

/** What is shown, where `…` is whatever it is, and columns are as wide as they are. */
const patternOf = (shown: string): RegExp =>
  new RegExp(
    shown
      .trim()
      .split(/(\s*…\s*|\s+)/)
      .map((part) => {
        if (part.includes("…")) return ".*"
        return /^\s+$/.test(part) ? "\\s+" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")
      })
      .join("")
  )

describe("the guide to jobs", () => {
  it.live("shows commands and answers as they are", () =>
    Effect.gen(function* () {
      const text = yield* textOf("docs/scheduler.md")
      const folder = yield* temporaryFolder("guide")
      writeFileSync(join(folder, "jobs.ts"), /```ts\n([\s\S]*?)```/.exec(text)?.[1] ?? "")
      const port = yield* freePort
      const { HOME, PATH } = process.env
      const { env } = withOwnJobs(yield* ground)
      const own = { PATH, HOME, ...env, HEALTH_PORT: `${port}`, API_KEYS: "the-key", KEY: "the-key" }

      const answers = Effect.fnUntraced(function* ({ line, shows }: Command) {
        const script = `${bunRunMain}\n${line.replace("localhost:8081", `127.0.0.1:${port}`)}`
        const child = yield* spawn("sh", ["-c", script], { cwd: folder, env: own })
        if (line.includes("--mode=")) {
          for (const shown of shows) yield* child.waitForLine(patternOf(shown), { deadline: "60 seconds" })
          return yield* HealthPages.waitForStatus(port, "/readyz", 200)
        }
        const code = yield* child.exit
        const written = [...child.stdout, ...child.stderr]
        assert.strictEqual(code, 0, `${line}\n${written.join("\n")}`)
        for (const shown of shows)
          assert.isTrue(
            written.some((one) => patternOf(shown).test(one)),
            `${line}\n${shown}\n${written.join("\n")}`
          )
      })

      const commands = commandsOf(text)
      assert.isAbove(commands.length, 9)
      yield* Effect.forEach(commands, answers, { discard: true })
    })
  )
})
