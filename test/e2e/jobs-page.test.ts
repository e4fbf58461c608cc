/** The page of jobs of a real scheduler: as a browser shows it, and as those meet it who may not use it. */
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { Page } from "playwright-core"
import { query } from "../support/Databases.ts"
import * as HealthPages from "../support/HealthPages.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Stage from "../support/Stage.ts"
import * as Browser from "../support/servers/Browser.ts"
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
  yield* HealthPages.waitForStatus(port, "/readyz", 200)
  assert.include((yield* HealthPages.page(port, "/jobs")).text, "nightly", "ready is a scheduler whose jobs are known")
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

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe(`The page of jobs on ${runtime}`, () => {
    live("runs and pauses for whoever has a key, and for nobody else", () =>
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

        yield* Effect.forEach(Array.from({ length: 8 }), () => on.post({ ...run, key: "guess" }))
        assert.strictEqual((yield* on.post({ job: "failing", action: "pause", key })).status, 429, "who guesses waits")

        yield* on.scheduler.kill("SIGTERM")
        assert.strictEqual(yield* on.scheduler.exit, 0, on.scheduler.stderr.join("\n"))
        const [left] = yield* on.rows("SELECT outcome, is_open FROM job_runs WHERE job = 'endless'")
        assert.deepStrictEqual({ ...left }, { outcome: "interrupted", is_open: true })
        assert.notInclude([...on.scheduler.stdout, ...on.scheduler.stderr].join("\n"), key)
      })
    )

    live("answers so many forms of each key in a second, and tells the others when to come again", () =>
      Effect.gen(function* () {
        const on = yield* started(runtime, { API_KEYS: `other,${key}`, API_RATE_LIMIT: "1" })
        const pause = { job: "nightly", action: "pause", key }
        // However slow the machine is, they come faster than one in a second.
        const all = yield* Effect.all(
          Array.from({ length: 50 }, () => on.post(pause)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual([...new Set(all.map(({ status }) => status))].sort(), [303, 429])
        assert.include(all.find(({ status }) => status === 429)?.text, "API_RATE_LIMIT")
        assert.strictEqual((yield* on.post({ ...pause, key: "other" })).status, 303, "others are not kept waiting")
        assert.strictEqual((yield* HealthPages.page(on.port, "/jobs")).status, 200)
      })
    )

    live("is read-only where there are no keys", () =>
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
}

const sizes = {
  phone: { width: 360, height: 740 },
  desktop: { width: 1280, height: 900 }
} as const

/** Goes on with Tab until this has the focus, as somebody without a mouse does. */
const tabTo = async (page: Page, name: string): Promise<void> => {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press("Tab")
    const text = await page.evaluate("document.activeElement.textContent + (document.activeElement.name ?? '')")
    if (String(text).trim().startsWith(name)) {
      const outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
      assert.strictEqual(outline, "solid", `the focus on ${name} can be seen`)
      return
    }
  }
  assert.fail(`no Tab leads to ${name}`)
}

/** By keyboard alone: opens the form of a job, types the key, and presses a button. */
const ask = async (page: Page, job: string, button: string): Promise<void> => {
  await page.reload()
  await tabTo(page, `Run or pause ${job}`)
  await page.keyboard.press("Enter")
  await tabTo(page, "key")
  await page.keyboard.type(key)
  await tabTo(page, button)
  const answered = page.waitForEvent("load")
  await page.keyboard.press("Enter")
  await answered
}

/** A week of a job that failed once, and what somebody wrote who would like to be more than text. */
const pastRuns = `
  INSERT INTO job_runs (job, scheduled_for, is_open, attempt, outcome, started_at, finished_at, error, result, replica)
  SELECT 'nightly', at, false, 1, CASE day WHEN 4 THEN 'failed' ELSE 'succeeded' END, at,
    at + (37 + day) * interval '1 second',
    CASE day WHEN 4 THEN 'SqlError: canceling statement due to lock timeout' || chr(10) || '    at cleanUp (jobs.ts:24:11)' END,
    CASE day WHEN 4 THEN NULL ELSE ('{"removed":' || day * day * 17 || '}')::json END, 'scheduler-' || day % 2 || '/7'
  FROM (SELECT day, date_trunc('day', now()) - day * interval '1 day' + interval '5 hours' AS at
    FROM generate_series(1, 6) AS day) AS days
  UNION ALL
  SELECT 'failing', now() - interval '1 day', false, 1, 'failed', now(), now(),
    '<script>document.title="owned"</script>', NULL, 'elsewhere/1'`

describe("The page of jobs in a browser", () => {
  for (const [size, viewport] of Object.entries(sizes))
    it.live(
      `is read and used by keyboard on a ${size}`,
      () =>
        Effect.gen(function* () {
          const on = yield* started("bun", { API_KEYS: key })
          yield* on.rows(pastRuns)
          const browser = yield* Browser.start
          yield* Effect.promise(async () => {
            const page = await browser.newPage({ viewport, colorScheme: size === "phone" ? "dark" : "light" })
            const complaints: Array<string> = []
            // what it refuses by the page's own policy is an error; hints about forms are not
            page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
            page.on("pageerror", (error) => complaints.push(error.message))
            await page.goto(`http://127.0.0.1:${on.port}/jobs`)
            await ask(page, "endless", "Run now")
            await ask(page, "failing", "Run now")
            // the form is answered when the run has begun: what became of it is there a moment later
            const error = page.locator("pre.error", { hasText: "no such column" })
            for (let looks = 0; (await error.count()) === 0; looks++) {
              assert.isBelow(looks, 200, "the run's error is shown")
              await page.reload()
            }
            await ask(page, "failing", "Pause")
            await page.getByText("paused", { exact: true }).waitFor()
            await page.getByText("Last runs of nightly").click()
            assert.strictEqual(await page.title(), "Jobs")
            assert.isTrue(await page.getByRole("columnheader", { name: "Outcome" }).first().isVisible())
            assert.isTrue(await page.getByRole("main").isVisible())
            const wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert.isAtMost(Number(wide), 0, "nothing is cut off at the side")
            assert.notInclude(page.url(), key)
            assert.notInclude(await page.content(), key)
            assert.deepStrictEqual(complaints, [])
            const folder = process.env.SCREENSHOTS
            const path = `${folder}/jobs-page-${size}.png`
            if (folder !== undefined) await page.screenshot({ path, fullPage: true })
          })
        }),
      // the first one may have to install the browser
      { timeout: 600_000 }
    )
})
