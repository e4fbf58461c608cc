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
import { JobHistory, type KeptJob } from "../../domain/ports/JobHistory.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import type { RunNotTaken } from "../../streams/RunJobOnce.ts"
import { keyring } from "./Access.ts"
import { jobsPage, refusalPage } from "./JobsPage.ts"
import { pageHeaders } from "./JobsStyle.ts"
import { countsOf } from "./JobsTimeline.ts"
import * as RateLimit from "./RateLimit.ts"
import { reader } from "./RequestBody.ts"
import * as WrongKeys from "./WrongKeys.ts"

export interface JobsRoutesOptions {
  /** Whoever has one of them may run and pause jobs. */
  readonly keys: ReadonlyArray<Redacted.Redacted>
  /** Forms that each of them may send per second; `undefined` is no limit. */
  readonly rateLimit: number | undefined
  /** Runs a job, and succeeds when it has begun; `undefined` if this process does not run it. */
  readonly runOf: (job: KeptJob) => Effect.Effect<void, RunNotTaken | StoreError> | undefined
}

const jobsPerPage = 25

/** Of each job; the others are in `jobs history`, and counted in the timeline. */
const listedRuns = 10

/** So that a number from an address is one for the database too. */
const mostPages = 1_000_000

const readForm = reader({ maxBodyBytes: 16_384, requestTimeout: Duration.seconds(10) })

const page = (text: string, status = 200) =>
  HttpServerResponse.text(text, { status, contentType: "text/html; charset=utf-8", headers: pageHeaders })

const refusal = (status: number, title: string, detail: string) => page(refusalPage(title, detail), status)

const unavailable = (error: StoreError) =>
  Effect.as(
    Effect.logWarning(`the page of jobs cannot be shown: ${error.message}`),
    refusal(503, "The jobs cannot be looked at", "The database does not answer. Try again in a moment.")
  )

/** The page that an address asks for. */
const pageIn = ({ url }: HttpServerRequest.HttpServerRequest): number => {
  const asked = Number(new URL(url, "http://localhost").searchParams.get("page"))
  return Number.isInteger(asked) ? Math.min(Math.max(asked, 1), mostPages) : 1
}

const show = ({ keys, runOf }: JobsRoutesOptions) =>
  Effect.gen(function* () {
    const history = yield* JobHistory
    const { jobs, now, ...pages } = yield* history.page(pageIn(yield* HttpServerRequest.HttpServerRequest), jobsPerPage)
    const names = jobs.map(({ name }) => name)
    const runs = Map.groupBy(yield* history.lastRuns(names, listedRuns), ({ job }) => job)
    const counts = Map.groupBy(yield* history.countRuns(countsOf(names, now)), ({ job }) => job)
    const shown = jobs.map((job) => ({
      job,
      runs: runs.get(job.name) ?? [],
      counts: counts.get(job.name) ?? [],
      isRunnable: runOf(job) !== undefined
    }))
    return page(jobsPage({ ...pages, now, jobs: shown, isReadOnly: keys.length === 0 }))
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

/** The key is none of `API_KEYS`. */
class WrongKey extends Data.TaggedError("WrongKey") {}

/** Too much was asked, or guessed. */
class TooMuch extends Data.TaggedError("TooMuch")<{
  readonly title: string
  readonly detail: string
  readonly waitSeconds: number
}> {}

const excessRefusal = ({ detail, title, waitSeconds }: TooMuch) =>
  HttpServerResponse.setHeader(refusal(429, title, detail), "retry-after", String(waitSeconds))

/** Finds who has the key that a form or a header holds, and may ask now. */
const makeDoor = Effect.fnUntraced(function* ({ keys, rateLimit }: JobsRoutesOptions) {
  const clientOf = keyring(keys)
  const wrongKeys = WrongKeys.make()
  const excessOf = yield* RateLimit.make(rateLimit)
  return Effect.fnUntraced(function* (request: HttpServerRequest.HttpServerRequest, form: URLSearchParams) {
    const from = Option.getOrElse(request.remoteAddress, () => "nowhere")
    const shut = yield* wrongKeys.waitOf(from)
    const detail = `No key from your address is looked at for ${shut} seconds.`
    if (shut > 0) return yield* new TooMuch({ title: "Too many wrong keys", detail, waitSeconds: shut })
    const client = clientOf(keyIn(request.headers, form))
    if (client === undefined) {
      yield* wrongKeys.count(from)
      yield* Effect.annotateLogs(Effect.logWarning("a wrong key was given on the page of jobs"), { from })
      return yield* new WrongKey()
    }
    const waitSeconds = yield* excessOf(client)
    if (waitSeconds === 0) return client
    const excess = `Of each key, ${RateLimit.excess(rateLimit)} are answered (API_RATE_LIMIT). Try again in a moment.`
    return yield* new TooMuch({ title: "Too many requests", detail: excess, waitSeconds })
  })
})

const makeChange = Effect.fnUntraced(function* (options: JobsRoutesOptions) {
  const enter = yield* makeDoor(options)
  const answer = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    if (options.keys.length === 0) return refusal(403, "Read-only", "Nobody may change jobs here: API_KEYS is not set.")
    if (isFromElsewhere(request.headers))
      return refusal(403, "Refused", "This form does not come from the page of jobs itself.")
    const form = new URLSearchParams(Buffer.from(yield* readForm(request)).toString())
    const client = yield* enter(request, form)
    const [name, action] = [form.get("job") ?? "", form.get("action") ?? ""]
    const job = yield* JobHistory.use((history) => history.job(name))
    if (job === undefined) return refusal(404, "Unknown job", `There is no job ${JSON.stringify(name)}.`)
    yield* Effect.annotateLogs(Effect.logInfo("asked for on the page of jobs"), { job: name, action, by: client.name })
    return yield* act(action, job, options)
  }).pipe(
    Effect.catchTags({
      StoreError: unavailable,
      WrongKey: () =>
        Effect.succeed(refusal(401, "Not allowed", "The key is none of API_KEYS. Go back and try again.")),
      TooMuch: (error) => Effect.succeed(excessRefusal(error)),
      RunNotTaken: (error) => Effect.succeed(refusal(409, "Not run", `${error.message}.`)),
      BodyTooLarge: () => Effect.succeed(refusal(413, "Not understood", "The form is too large.")),
      RequestTimeout: () => Effect.succeed(refusal(408, "Not understood", "The form took too long to arrive."))
    })
  )
  return { answer }
})

/** Shows the page, and takes its forms. */
export const layer = (options: JobsRoutesOptions): Layer.Layer<never, never, HttpRouter.HttpRouter | JobHistory> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const history = yield* JobHistory
      const { answer } = yield* makeChange(options)
      return Layer.mergeAll(
        HttpRouter.add("GET", "/jobs", Effect.provideService(show(options), JobHistory, history)),
        HttpRouter.add("POST", "/jobs", Effect.provideService(answer, JobHistory, history))
      )
    })
  )
