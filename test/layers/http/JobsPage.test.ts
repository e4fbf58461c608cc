/** The page of jobs: whatever its texts are, they stay texts; and nothing is done without a key. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema } from "effect"
import { HttpRouter } from "effect/http"
import type { KeptRun } from "../../../src/domain/JobRun.ts"
import { JobHistory, type KeptJob } from "../../../src/domain/ports/JobHistory.ts"
import { html } from "../../../src/layers/http/Html.ts"
import { type JobsView, jobsPage } from "../../../src/layers/http/JobsPage.ts"
import * as JobsRoutes from "../../../src/layers/http/JobsRoutes.ts"
import * as MemoryJobHistory from "../../../src/layers/memory/MemoryJobHistory.ts"

const now = Date.UTC(2026, 2, 9, 12)

const jobOf = (name: string): KeptJob => ({
  name,
  schedule: "0 2 * * *",
  timeZone: "America/Sao_Paulo",
  overlap: "skip",
  catchUp: "latest",
  publishes: undefined,
  decidedUntil: now,
  isPaused: false,
  isRemoved: false
})

const runOf = (job: string, changes: Partial<KeptRun> = {}): KeptRun => ({
  job,
  scheduledFor: now - 3_600_000,
  attempt: 1,
  isManual: false,
  isOpen: false,
  outcome: "failed",
  startedAt: now - 3_600_000,
  finishedAt: now - 3_598_000,
  error: "no such column",
  result: undefined,
  replica: "one/1",
  ...changes
})

const viewOf = (job: KeptJob, runs: ReadonlyArray<KeptRun>, isReadOnly = false): JobsView => ({
  now,
  jobs: [
    {
      job,
      runs,
      counts: runs.map(({ job: name, outcome }) => ({ job: name, outcome, span: 83, count: 1 })),
      isRunnable: true
    }
  ],
  page: 1,
  pages: 1,
  isReadOnly
})

/** All tags of a page, in their order: what a browser makes of it. */
const tagsOf = (page: string): ReadonlyArray<string> =>
  [...page.matchAll(/<(\/?[a-z0-9]+)((?:\s+[a-z-]+(?:="[^"]*")?)*)\s*>/gi)].map(([, name = "", attributes = ""]) =>
    [name, ...[...attributes.matchAll(/([a-z-]+)(?:="[^"]*")?/gi)].map(([whole]) => whole.split("=")[0])].join(" ")
  )

const Hostile = Schema.Array(
  Schema.Literals([
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    "</pre></style>",
    "<!--",
    "]]>",
    "&lt;",
    "&#60;b&#62;",
    "javascript:alert(1)",
    "\0",
    "\u202e",
    "\ud800",
    "`",
    "\n",
    "é",
    "a"
  ])
)

describe("The page of jobs", () => {
  it.prop("has the same elements and attributes, whatever its texts are", { parts: Hostile }, ({ parts }) => {
    const text = `x${parts.join("")}`
    const page = (word: string) =>
      jobsPage(
        viewOf({ ...jobOf(word), publishes: { topic: word, payload: "{}" } }, [
          runOf(word, { error: word, result: JSON.stringify(word), replica: word })
        ])
      )
    assert.deepStrictEqual(tagsOf(page(text)), tagsOf(page("x")))
    assert.notInclude(page(text), "<script")
  })

  it.prop("keeps each text readable", { text: Schema.String }, ({ text }) => {
    const shown = html`<p title="${text}">${text}</p>`.text
    assert.match(shown, /^<p title="[^"<>]*">[^"<>]*<\/p>$/)
  })

  it("shows a schedule, its zone, the next and the last run, and the error of a failed one", () => {
    const page = jobsPage(viewOf(jobOf("nightly"), [runOf("nightly"), runOf("nightly", { outcome: "succeeded" })]))
    for (const text of [
      "0 2 * * * (America/Sao_Paulo)",
      '<time datetime="2026-03-10T02:00:00-03:00"><span>2026-03-10</span> <span>02:00:00</span> <span>-03:00</span></time>',
      "<span>08:00:00</span> <span>-03:00</span></time>, 2s",
      "no such column",
      "1 failed, 1 succeeded",
      'name="viewport"'
    ])
      assert.include(page, text)
  })

  it("shows what became of the runs of seven days, and what was not looked at", () => {
    const [job, few] = [jobOf("nightly"), { job: "nightly", outcome: "succeeded", span: 83, count: 7 } as const]
    const page = (counts: JobsView["jobs"][number]["counts"]) =>
      jobsPage({ ...viewOf(job, []), jobs: [{ job, runs: [], counts, isRunnable: true }] })
    assert.notInclude(page([few]), 'class="unseen"')
    const cut = page([
      { ...few, count: 600 },
      { ...few, outcome: "failed", span: 80, count: 72 }
    ])
    assert.include(cut, "the newest 672: 600 succeeded, 72 failed")
    assert.strictEqual(cut.match(/class="unseen"/g)?.length, 80)
    assert.strictEqual(cut.match(/<rect class="none"/g)?.length, 2)
    assert.strictEqual(cut.match(/<rect class="failed"/g)?.length, 1)
  })

  it("has no forms where nobody may do anything", () => {
    assert.notInclude(jobsPage(viewOf(jobOf("nightly"), [], true)), "<form")
    assert.include(jobsPage(viewOf(jobOf("nightly"), [], true)), "read-only")
  })
})

/** The routes on a history with some jobs. */
const served = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
  const history = yield* JobHistory
  yield* history.register(names.map(jobOf))
  const asked: Array<string> = []
  const counted = Object.fromEntries(
    Object.entries(history).map(([name, method]) => [
      name,
      typeof method === "function"
        ? (...given: ReadonlyArray<never>) => {
            asked.push(name)
            return (method as (...all: ReadonlyArray<never>) => unknown)(...given)
          }
        : method
    ])
  ) as unknown as JobHistory["Service"]
  const routes = JobsRoutes.layer({
    keys: [Redacted.make("secret")],
    rateLimit: undefined,
    runOf: () => undefined
  }).pipe(Layer.provide(Layer.succeed(JobHistory, counted)))
  const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  return {
    asked,
    get: (path: string) =>
      Effect.promise(async () => {
        const answer = await handler(new Request(`http://localhost${path}`))
        return { status: answer.status, headers: answer.headers, text: await answer.text() }
      })
  }
})

describe("The routes of the page of jobs", () => {
  it.effect("show it with a policy that lets nothing in from elsewhere", () =>
    Effect.gen(function* () {
      const { get } = yield* served(["nightly"])
      const { headers, status, text } = yield* get("/jobs")
      assert.strictEqual(status, 200)
      assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'; style-src 'sha256-/)
      assert.include(text, "Pause</button>")
      assert.notInclude(text, "Run now")
    }).pipe(Effect.scoped, Effect.provide(MemoryJobHistory.layer))
  )

  it.effect("read what is shown with the same few questions, however many jobs there are", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 60 }, (_, index) => `job-${String(index).padStart(2, "0")}`)
      const { asked, get } = yield* served(names)
      for (const [page, first, shown] of [
        ["2", "job-25", 25],
        ["3", "job-50", 10],
        ["99", "job-50", 10],
        ["none", "job-00", 25]
      ] as const) {
        asked.length = 0
        const { text } = yield* get(`/jobs?page=${page}`)
        assert.deepStrictEqual(asked, ["page", "lastRuns", "countRuns"])
        assert.strictEqual(text.match(/<article/g)?.length, shown)
        assert.include(text, `<h2 id="job-0">${first}</h2>`)
      }
    }).pipe(Effect.scoped, Effect.provide(MemoryJobHistory.layer))
  )
})
