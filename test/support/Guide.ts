/** Commands as a page shows them: each below a line with the status and words of its answer. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { run } from "./servers/command.ts"
import { eventually } from "./servers/eventually.ts"

const commandsOf = (page: string) => {
  const text = readFileSync(fileURLToPath(new URL(`../../${page}`, import.meta.url)), "utf8")
  return [...text.matchAll(/^# (\d{3}) (.+)\n(curl .+)$/gm)]
}

/** Runs every curl of a page as it is written there, and sees the answer that it shows. */
export const holds = Effect.fnUntraced(function* (page: string, port: string) {
  const commands = commandsOf(page)
  assert.isAbove(commands.length, 4)
  for (const [, status = "", words = "", command = ""] of commands) {
    const local = command
      .replace("localhost:5000", `127.0.0.1:${port}`)
      .replace("curl ", "curl --silent --max-time 10 ")
    yield* eventually(
      Effect.map(run("sh", ["-c", local], { env: { PATH: process.env.PATH } }), (answer) => {
        assert.include(answer, `HTTP/1.1 ${status} `)
        assert.include(answer.toLowerCase(), words.toLowerCase())
      }),
      // a history takes its time
      { deadline: "60 seconds", every: "200 millis" }
    )
  }
})
