/**
 * `--mode=simulate`: whole PIX flows through the APIs of a target, and a comparison of what was accepted with what was
 * settled and audited. Ends with 1 if a flow is missing or doubled, or if an invalid one was accepted.
 */
import { Clock, Console, Duration, Effect, Fiber, Option, Schema, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { expectedSteps, type SampleRequest, sampleRequest } from "../domain/SamplePix.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as PixClient from "../layers/http/PixClient.ts"
import { Shutdown, untilShutdown } from "../streams/Shutdown.ts"
import * as Answer from "./Answer.ts"
import { withSettings } from "./CommandServices.ts"
import { liveLine } from "./LiveLine.ts"
import { newRun } from "./Publish.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

const settings = Settings.all({ key: Settings.simulatorKey, log: Settings.logSettings })

/** What the command line says; the rest is as it is unless told. */
export interface SimulateFlags {
  readonly count: Option.Option<number>
  readonly rate: Option.Option<number>
  readonly target: Option.Option<string>
  readonly invalid: Option.Option<number>
  readonly timeout: Option.Option<number>
  readonly json: boolean
}

interface SimulateOptions {
  readonly count: number
  /** Flows begun per second. */
  readonly rate: number
  readonly target: string
  /** The share of requests that no API may accept. */
  readonly invalid: number
  /** The longest wait for one request, and for all flows to end. */
  readonly timeoutSeconds: number
  readonly json: boolean
}

interface Totals {
  sent: number
  accepted: number
  /** Invalid ones, as they should be. */
  refused: number
  /** Answered otherwise, or not at all. */
  failed: number
  invalidAccepted: number
  settled: number
  missing: number
  doubled: number
}

/** What was accepted and what was settled are not the same. */
export class NotCoherent extends Schema.TaggedError<NotCoherent>()("NotCoherent", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** Requests at the same time: enough that slow answers do not slow the rate. */
const requestsAtOnce = 64
const historiesAtOnce = 16

type Verdict = "complete" | "doubled" | "incomplete"

const judge = (steps: ReadonlyArray<string>): Verdict => {
  const each = expectedSteps.map((step) => steps.filter((other) => other === step).length)
  if (steps.length > expectedSteps.length || each.some((count) => count > 1)) return "doubled"
  return each.every((count) => count === 1) ? "complete" : "incomplete"
}

/** Notes what became of a request. */
const note = (totals: Totals, accepted: Array<string>, { isValid, transactionId }: SampleRequest, status: number) => {
  totals.sent++
  if (status === 200 && isValid) {
    totals.accepted++
    accepted.push(transactionId)
  } else if (status === 200) totals.invalidAccepted++
  else if (status === 400 && !isValid) totals.refused++
  else totals.failed++
}

/** A person who has named a wrong address is not kept in the dark until time is up. */
const saidWhenLate = ({ target, timeoutSeconds }: SimulateOptions) =>
  Console.error(`the API at ${target} has not answered yet: it is asked for ${timeoutSeconds} s`).pipe(
    Effect.delay("2 seconds"),
    Effect.andThen(Effect.never)
  )

/** Sends all requests at their time, through the routes in turn; gives the ids of what was accepted. */
const sendAll = Effect.fnUntraced(function* (client: PixClient.PixClient, options: SimulateOptions, totals: Totals) {
  const routes = yield* Effect.raceFirst(client.routes, saidWhenLate(options))
  const run = yield* newRun
  const start = yield* Clock.currentTimeMillis
  const accepted: Array<string> = []
  const send = Effect.fnUntraced(function* (number: number) {
    const request = sampleRequest(run, number, options.invalid)
    const route = routes[number % routes.length] ?? ""
    const status = yield* client
      .send(route, request.body, `${run}-${number}`)
      .pipe(Effect.catchTag("ApiAway", () => Effect.succeed(0)))
    note(totals, accepted, request, status)
  })
  yield* Stream.range(0, options.count - 1).pipe(
    Stream.rechunk(1),
    Stream.tap((number) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sleep(start + (number * 1000) / options.rate - now))
    ),
    untilShutdown,
    Stream.mapEffect(send, { concurrency: requestsAtOnce, unordered: true }),
    Stream.runDrain
  )
  return accepted
})

/** Waits until every accepted flow is complete, or time is up; then looks once more at all of them. */
const compare = Effect.fnUntraced(function* (
  client: PixClient.PixClient,
  options: SimulateOptions,
  totals: Totals,
  accepted: ReadonlyArray<string>
) {
  const verdicts = (ids: ReadonlyArray<string>) =>
    Effect.forEach(ids, (id) => Effect.map(client.steps(id), (steps) => ({ id, verdict: judge(steps) })), {
      concurrency: historiesAtOnce
    })
  const deadline = (yield* Clock.currentTimeMillis) + options.timeoutSeconds * 1000
  let waiting = accepted
  while (waiting.length > 0 && (yield* Clock.currentTimeMillis) < deadline) {
    const found = yield* verdicts(waiting)
    waiting = found.filter(({ verdict }) => verdict === "incomplete").map(({ id }) => id)
    totals.settled = accepted.length - waiting.length
    if (waiting.length > 0) yield* Effect.sleep("200 millis")
  }
  const last = yield* verdicts(accepted)
  const count = (verdict: Verdict) => last.filter((one) => one.verdict === verdict).length
  totals.settled = count("complete")
  totals.missing = count("incomplete")
  totals.doubled = count("doubled")
})

const shareOf = (count: number) => (totals: Totals) =>
  (totals.sent + totals.refused + totals.failed + totals.settled) / (2 * count)

const lineOf = (totals: Totals, perSecond: number) =>
  `${totals.sent} sent, ${totals.accepted} accepted, ` +
  `${totals.refused} refused, ${totals.failed} failed, ${totals.settled} settled, ${perSecond}/s`

const conclusionOf = (totals: Totals): string =>
  `${totals.sent} sent, ${totals.accepted} accepted, ${totals.refused} invalid ones refused, ${totals.failed} failed; ` +
  `${totals.settled} settled and audited, ${totals.missing} missing, ${totals.doubled} doubled, ` +
  `${totals.invalidAccepted} invalid ones accepted`

const run = Effect.fnUntraced(function* (client: PixClient.PixClient, options: SimulateOptions) {
  const shutdown = yield* Shutdown
  const totals: Totals = {
    sent: 0,
    accepted: 0,
    refused: 0,
    failed: 0,
    invalidAccepted: 0,
    settled: 0,
    missing: 0,
    doubled: 0
  }
  const shown = { done: ({ sent }: Totals) => sent, lineOf, share: shareOf(options.count) }
  const showing = options.json
    ? undefined
    : yield* Effect.forkScoped(
        liveLine(
          Effect.sync(() => ({ ...totals })),
          shown
        )
      )
  const work = Effect.flatMap(sendAll(client, options, totals), (accepted) =>
    compare(client, options, totals, accepted)
  )
  const isStopped = yield* Effect.raceFirst(Effect.as(work, false), Effect.as(shutdown.requested, true)).pipe(
    Effect.ensuring(showing === undefined ? Effect.void : Fiber.interrupt(showing))
  )
  yield* Answer.give(options.json, { ...totals, stopped: isStopped }, conclusionOf(totals))
  if (isStopped) return yield* new StoppedEarly({ detail: `after ${totals.sent} of ${options.count}` })
  const isCoherent = totals.failed + totals.missing + totals.doubled + totals.invalidAccepted === 0
  if (!isCoherent) return yield* new NotCoherent({ detail: "not every flow went as it should" })
})

const optionsOf = ({ count, invalid, json, rate, target, timeout }: SimulateFlags): SimulateOptions => ({
  count: Option.getOrElse(count, () => 100),
  rate: Option.getOrElse(rate, () => 10),
  target: Option.getOrElse(target, () => "http://localhost:5000"),
  invalid: Option.getOrElse(invalid, () => 0),
  timeoutSeconds: Option.getOrElse(timeout, () => 60),
  json
})

/** Runs a simulation. */
export const simulate = Effect.fnUntraced(function* (given: SimulateFlags) {
  const options = optionsOf(given)
  const patience = Duration.seconds(options.timeoutSeconds)
  yield* withSettings(
    settings,
    ({ key }) =>
      PixClient.make({ target: options.target, key, patience }).pipe(
        Effect.flatMap((client) => Effect.scoped(run(client, options))),
        Effect.provide(FetchHttpClient.layer)
      ),
    { stopsByItself: true }
  )
})
