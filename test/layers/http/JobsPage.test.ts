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
  jobs: [{ job, runs, isRunnable: true }],
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
      "2026-03-10T02:00:00-03:00",
      "2026-03-09T08:00:00-03:00 (2s)",
      "no such column",
      "1 failed, 1 succeeded",
      'name="viewport"'
    ])
      assert.include(page, text)
  })

  it("has no forms where nobody may do anything", () => {
    assert.notInclude(jobsPage(viewOf(jobOf("nightly"), [], true)), "<form")
    assert.include(jobsPage(viewOf(jobOf("nightly"), [], true)), "read-only")
  })
})

describe("The route of the page of jobs", () => {
  it.effect("shows it with a policy that lets nothing in from elsewhere", () =>
    Effect.gen(function* () {
      const history = yield* JobHistory
      yield* history.register([jobOf("nightly")])
      const routes = JobsRoutes.layer({ keys: [Redacted.make("secret")], runOf: () => undefined }).pipe(
        Layer.provide(Layer.succeed(JobHistory, history))
      )
      const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
      yield* Effect.addFinalizer(() => Effect.promise(dispose))
      const response = yield* Effect.promise(() => handler(new Request("http://localhost/jobs")))
      assert.strictEqual(response.status, 200)
      assert.match(response.headers.get("content-security-policy") ?? "", /^default-src 'none'; style-src 'sha256-/)
      const text = yield* Effect.promise(() => response.text())
      assert.include(text, "Pause</button>")
      assert.notInclude(text, "Run now")
    }).pipe(Effect.scoped, Effect.provide(MemoryJobHistory.layer))
  )
})
