/** Every curl of the guide is run, as it is written there. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { run } from "../support/servers/command.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const guide = readFileSync(fileURLToPath(new URL("../../docs/pix.md", import.meta.url)), "utf8")
const commands = [...guide.matchAll(/^# (\d{3}) (.+)\n(curl .+)$/gm)]

describe("the guide to the PIX system", () => {
  it.live("shows answers as they are", () =>
    Effect.gen(function* () {
      assert.isAbove(commands.length, 6)
      const port = `${yield* freePort}`
      const folder = yield* temporaryFolder("guide")
      const env = { BROKER: "embedded", DATABASE: "embedded", PAYSTREAM_DATA: folder, HEALTH_PORT: "0" }
      const consumers = yield* Program.start({ runtime: "bun", args: ["--mode=consumers"], env })
      yield* consumers.waitForLine(/starting/)
      const api = yield* Program.start({
        runtime: "bun",
        args: ["--mode=api"],
        env: { ...env, PORT: port, API_HOST: "127.0.0.1" }
      })
      yield* api.waitForLine(/listening at port/)
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
          { deadline: "20 seconds", every: "200 millis" }
        )
      }
    })
  )
})
