/** The page of jobs of a real scheduler, as those meet it who may use it and who may not. */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const module = fileURLToPath(new URL("../support/workers/schedule.ts", import.meta.url))

const key = "a-key-of-the-test"

const started = Effect.fnUntraced(function* (runtime: Program.Runtime, more: Readonly<Record<string, string>> = {}) {
  const stage = yield* Stage.make
  const port = yield* freePort
  const scheduler = yield* Program.start({
    runtime,
    args: ["--mode=scheduler"],
    env: {
      ...Stage.environmentOf(stage),
      JOBS: module,
      JOURNAL: `${yield* temporaryFolder("journal")}/journal`,
      HEALTH_PORT: `${port}`,
      ...more
    }
  })
  // ready is a scheduler whose database answers; its jobs are known a moment later
  yield* eventually(
    Effect.map(HealthPages.page(port, "/jobs"), ({ text }) => assert.include(text, "nightly")),
    { deadline: "30 seconds" }
  )
  const rows = <Row extends Record<string, unknown>>(statement: string) =>
    query<Row>(Redacted.make(stage.databaseUrl), statement)
  const post = (fields: Readonly<Record<string, string>>, headers: Readonly<Record<string, string>> = {}) =>
    Effect.promise(async () => {
      const body = new URLSearchParams(fields)
      const url = `http://127.0.0.1:${port}/jobs`
      const response = await fetch(url, { method: "POST", body, headers, redirect: "manual" })
      return { status: response.status, text: await response.text() }
    })
  return { port, scheduler, rows, post }
})

/** What has become of the runs of a job. */
const outcomes = ({ rows }: Effect.Success<ReturnType<typeof started>>, job: string) =>
  Effect.map(rows<{ outcome: string }>(`SELECT outcome FROM job_runs WHERE job = '${job}'`), (found) =>
    found.map(({ outcome }) => outcome)
  )

for (const runtime of Stage.runtimes)
  describe(`The page of jobs on ${runtime}`, () => {
    it.live("runs and pauses for whoever has a key, and for nobody else", () =>
      Effect.gen(function* () {
        const on = yield* started(runtime, { API_KEYS: `other,${key}` })
        const run = { job: "nightly", action: "run" }
        const refused = yield* Effect.all([
          on.post(run),
          on.post({ ...run, key: "wrong" }),
          on.post({ ...run, key }, { origin: "http://elsewhere.example" }),
          on.post({ ...run, key }, { "sec-fetch-site": "cross-site" }),
          on.post({ ...run, key, job: "<b>nobody</b>" }),
          on.post({ ...run, key, action: "drop" }),
          on.post({ ...run, key, job: "x".repeat(20_000) })
        ])
        assert.deepStrictEqual(
          refused.map(({ status }) => status),
          [401, 401, 403, 403, 404, 400, 413]
        )
        assert.notInclude(refused[4]?.text, "<b>")
        assert.deepStrictEqual(yield* outcomes(on, "nightly"), [])

        assert.strictEqual((yield* on.post({ ...run, key })).status, 303)
        yield* eventually(
          Effect.map(outcomes(on, "nightly"), (found) => assert.deepStrictEqual(found, ["succeeded"])),
          { deadline: "20 seconds" }
        )
        const endless = { job: "endless", action: "run" }
        assert.strictEqual((yield* on.post(endless, { "x-api-key": key })).status, 303)
        const again = yield* on.post(endless, { authorization: `Bearer ${key}` })
        assert.strictEqual(again.status, 409)
        assert.include(again.text, "goes on or waits")
        assert.strictEqual((yield* on.post({ job: "failing", action: "pause", key })).status, 303)
        assert.include((yield* HealthPages.page(on.port, "/jobs")).text, "Resume</button>")
        assert.strictEqual((yield* on.post({ job: "failing", action: "resume", key })).status, 303)
        assert.notInclude((yield* HealthPages.page(on.port, "/jobs")).text, "Resume</button>")

        yield* on.scheduler.kill("SIGTERM")
        assert.strictEqual(yield* on.scheduler.exit, 0, on.scheduler.stderr.join("\n"))
        const [left] = yield* on.rows("SELECT outcome, is_open FROM job_runs WHERE job = 'endless'")
        assert.deepStrictEqual({ ...left }, { outcome: "interrupted", is_open: true })
        assert.notInclude([...on.scheduler.stdout, ...on.scheduler.stderr].join("\n"), key)
      })
    )

    it.live("is read-only where there are no keys", () =>
      Effect.gen(function* () {
        const on = yield* started(runtime)
        const { status, text } = yield* HealthPages.page(on.port, "/jobs")
        assert.strictEqual(status, 200)
        assert.include(text, "nightly")
        assert.notInclude(text, "<form")
        assert.strictEqual((yield* on.post({ job: "nightly", action: "run", key: "" })).status, 403)
        assert.deepStrictEqual(yield* outcomes(on, "nightly"), [])
      })
    )
  })
