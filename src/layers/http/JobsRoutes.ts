/**
 * `/jobs`: the page, and what its forms ask for.
 *
 * ## Guarantees
 * - Nothing is done without one of the keys, which stands in the form or in a header, never in an address, a cookie or the log:
 *   a browser has nothing to add to a form from elsewhere, and one from elsewhere is refused whatever it holds.
 * - Without keys there is nobody who may do something; and who guesses has few guesses.
 */
import { Data, Duration, Effect, Layer, Option, type Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { KeptRun } from "../../domain/JobRun.ts"
import { JobHistory, type KeptJob } from "../../domain/ports/JobHistory.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import type { RunNotTaken } from "../../streams/RunJobOnce.ts"
import { keyring } from "./Access.ts"
import { jobsPage, listedRuns, refusalPage } from "./JobsPage.ts"
import { pageHeaders } from "./JobsStyle.ts"
import { reader } from "./RequestBody.ts"
import * as WrongKeys from "./WrongKeys.ts"

export interface JobsRoutesOptions {
  /** Whoever has one of them may run and pause jobs. */
  readonly keys: ReadonlyArray<Redacted.Redacted>
  /** Runs a job, and succeeds when it has begun; `undefined` if this process does not run it. */
  readonly runOf: (job: KeptJob) => Effect.Effect<void, RunNotTaken | StoreError> | undefined
}

const jobsPerPage = 50

/** Enough for a job that runs every half an hour; of the others, the timeline shows the newest. */
const runsPerJob = 336

const queriesAtOnce = 4

const readForm = reader({ maxBodyBytes: 16_384, requestTimeout: Duration.seconds(10) })

const page = (text: string, status = 200) =>
  HttpServerResponse.text(text, { status, contentType: "text/html; charset=utf-8", headers: pageHeaders })

const refusal = (status: number, title: string, detail: string) => page(refusalPage(title, detail), status)

const unavailable = (error: StoreError) =>
  Effect.as(
    Effect.logWarning(`the page of jobs cannot be shown: ${error.message}`),
    refusal(503, "The jobs cannot be looked at", "The database does not answer. Try again in a moment.")
  )

const byName = (one: KeptJob, other: KeptJob) => one.name.localeCompare(other.name)

const keptJobs = Effect.map(
  JobHistory.use((history) => history.jobs(undefined)),
  ({ jobs, now }) => ({ now, jobs: jobs.filter(({ isRemoved }) => !isRemoved).sort(byName) })
)

/** Errors and results that are not shown are not kept in hand either: there may be hundreds of megabytes of them. */
const briefly = (run: KeptRun, index: number): KeptRun =>
  index < listedRuns ? run : { ...run, error: undefined, result: undefined }

const show = ({ keys, runOf }: JobsRoutesOptions) =>
  Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const history = yield* JobHistory
    const { jobs, now } = yield* keptJobs
    const pages = Math.max(1, Math.ceil(jobs.length / jobsPerPage))
    const asked = Number(new URL(request.url, "http://localhost").searchParams.get("page"))
    const number = Number.isInteger(asked) ? Math.min(Math.max(asked, 1), pages) : 1
    const shown = yield* Effect.forEach(
      jobs.slice((number - 1) * jobsPerPage, number * jobsPerPage),
      (job) =>
        Effect.map(history.runs({ job: job.name, onlyFailed: false, limit: runsPerJob }), (runs) => ({
          job,
          runs: runs.map(briefly),
          isRunnable: runOf(job) !== undefined
        })),
      { concurrency: queriesAtOnce }
    )
    return page(jobsPage({ now, jobs: shown, page: number, pages, isReadOnly: keys.length === 0 }))
  }).pipe(Effect.catchTag("StoreError", unavailable))

type HeadersOf = HttpServerRequest.HttpServerRequest["headers"]

/** A browser says where a form comes from; what is no browser says nothing. */
const isFromElsewhere = (headers: HeadersOf): boolean => {
  const site = headers["sec-fetch-site"]
  if (site !== undefined) return site !== "same-origin"
  const { host, origin } = headers
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}

const keyIn = (headers: HeadersOf, form: URLSearchParams): string =>
  form.get("key") ?? headers["x-api-key"] ?? /^bearer (.+)$/i.exec(headers["authorization"] ?? "")?.[1] ?? ""

/** Does what a form asks for. */
const act = Effect.fnUntraced(function* (action: string, job: KeptJob, { runOf }: JobsRoutesOptions) {
  const history = yield* JobHistory
  const run = runOf(job)
  if (action === "pause" || action === "resume") yield* history.pause(job.name, action === "pause")
  else if (action !== "run") return refusal(400, "Not understood", "The action is one of run, pause and resume.")
  else if (run === undefined)
    return refusal(409, "Not run", `${job.name} is not one of the jobs that this scheduler runs.`)
  else yield* run
  return HttpServerResponse.redirect("/jobs", { status: 303, headers: pageHeaders })
})

/** The key is none of `API_KEYS`, or nobody looks at it yet. */
class KeyRefused extends Data.TaggedError("KeyRefused")<{ readonly waitSeconds: number }> {}

const keyRefusal = ({ waitSeconds }: KeyRefused) =>
  waitSeconds === 0
    ? refusal(401, "Not allowed", "The key is none of API_KEYS. Go back and try again.")
    : HttpServerResponse.setHeader(
        refusal(429, "Too many wrong keys", `No key from your address is looked at for ${waitSeconds} seconds.`),
        "retry-after",
        String(waitSeconds)
      )

/** Finds who has the key that a form or a header holds. */
const makeDoor = (keys: JobsRoutesOptions["keys"]) => {
  const clientOf = keyring(keys)
  const wrongKeys = WrongKeys.make()
  return Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest, form: URLSearchParams) {
    const from = Option.getOrElse(request.remoteAddress, () => "nowhere")
    const waitSeconds = yield* wrongKeys.waitOf(from)
    if (waitSeconds > 0) return yield* new KeyRefused({ waitSeconds })
    const client = clientOf(keyIn(request.headers, form))
    if (client !== undefined) return client
    yield* wrongKeys.count(from)
    yield* Effect.annotateLogs(Effect.logWarning("a wrong key was given on the page of jobs"), { from })
    return yield* new KeyRefused({ waitSeconds: 0 })
  })
}

const change = (options: JobsRoutesOptions) => {
  const enter = makeDoor(options.keys)
  return Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (options.keys.length === 0) return refusal(403, "Read-only", "Nobody may change jobs here: API_KEYS is not set.")
    if (isFromElsewhere(request.headers))
      return refusal(403, "Refused", "This form does not come from the page of jobs itself.")
    const form = new URLSearchParams(Buffer.from(yield* readForm(request)).toString())
    const client = yield* enter(request, form)
    const [name, action] = [form.get("job") ?? "", form.get("action") ?? ""]
    const job = (yield* keptJobs).jobs.find((one) => one.name === name)
    if (job === undefined) return refusal(404, "Unknown job", `There is no job ${JSON.stringify(name)}.`)
    yield* Effect.annotateLogs(Effect.logInfo("asked for on the page of jobs"), { job: name, action, by: client.name })
    return yield* act(action, job, options)
  }).pipe(
    Effect.catchTags({
      StoreError: unavailable,
      KeyRefused: (error) => Effect.succeed(keyRefusal(error)),
      RunNotTaken: (error) => Effect.succeed(refusal(409, "Not run", `${error.message}.`)),
      BodyTooLarge: () => Effect.succeed(refusal(413, "Not understood", "The form is too large.")),
      RequestTimeout: () => Effect.succeed(refusal(408, "Not understood", "The form took too long to arrive."))
    })
  )
}

/** Shows the page, and takes its forms. */
export const layer = (options: JobsRoutesOptions): Layer.Layer<never, never, HttpRouter.HttpRouter | JobHistory> =>
  Layer.unwrap(
    Effect.map(JobHistory, (history) =>
      Layer.mergeAll(
        HttpRouter.add("GET", "/jobs", Effect.provideService(show(options), JobHistory, history)),
        HttpRouter.add("POST", "/jobs", Effect.provideService(change(options), JobHistory, history))
      )
    )
  )
