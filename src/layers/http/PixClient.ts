/** The API from outside, for a client that does not give up: it waits as long as it is told, and asks again. */
import { Clock, Duration, Effect, Redacted, Schema } from "effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { History, routes } from "./PixApi.ts"

/** The API does not answer, or not as it should. */
export class ApiAway extends Schema.TaggedError<ApiAway>()("ApiAway", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** The API wants a key, or another one. */
export class ApiRefused extends Schema.TaggedError<ApiRefused>()("ApiRefused", { target: Schema.String }) {
  override get message(): string {
    return `the API at ${this.target} refuses the key (401); API_KEY is the one that is sent`
  }
}

export interface PixClientOptions {
  /** The address of the API. */
  readonly target: string
  readonly key: Redacted.Redacted | undefined
  /** The longest time for one request, with all that it is sent again. */
  readonly patience: Duration.Duration
}

/** What is worth sending again: away, too many, under way. */
const passing = new Set([409, 429, 503])

const longestWaitSeconds = 30

const waitOf = (response: HttpClientResponse.HttpClientResponse): Duration.Duration => {
  const seconds = Number(response.headers["retry-after"])
  return Duration.seconds(Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, longestWaitSeconds) : 1)
}

const Paths = Schema.Struct({ paths: Schema.Record(Schema.String, Schema.Unknown) })
const decodeHistory = Schema.decodeUnknownEffect(History)
const decodePaths = Schema.decodeUnknownEffect(Paths)

/** A client for one API. */
export const make = Effect.fnUntraced(function* ({ key, patience, target }: PixClientOptions) {
  const client = yield* HttpClient.HttpClient
  const base = target.replace(/\/+$/, "")
  const headers = key === undefined ? {} : { authorization: `Bearer ${Redacted.value(key)}` }
  const away = (what: string) => new ApiAway({ detail: `the API at ${target} ${what}` })

  const ask = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(patience)
    while (true) {
      const answer = yield* Effect.option(client.execute(HttpClientRequest.setHeaders(request, headers)))
      const response = answer._tag === "Some" ? answer.value : undefined
      if (response?.status === 401) return yield* new ApiRefused({ target })
      if (response !== undefined && !passing.has(response.status)) return response
      const wait = response === undefined ? Duration.seconds(1) : waitOf(response)
      const left = deadline - (yield* Clock.currentTimeMillis)
      if (left <= 0) return yield* away(response === undefined ? "does not answer" : `answers ${response.status} only`)
      yield* Effect.sleep(Duration.min(wait, Duration.millis(left)))
    }
  })
  const json = (response: HttpClientResponse.HttpClientResponse) =>
    Effect.mapError(response.json, () => away("does not answer in JSON"))

  return {
    /** The routes to brokers that the API has. */
    routes: Effect.gen(function* () {
      const document = yield* json(yield* ask(HttpClientRequest.get(`${base}/openapi.json`)))
      const { paths } = yield* Effect.mapError(decodePaths(document), () => away("has no OpenAPI document"))
      const found = Object.values(routes).flatMap(({ path }) => (Object.hasOwn(paths, path) ? [path] : []))
      return found.length > 0 ? found : yield* away("has no route to a broker")
    }),
    /** Sends an event under a key of its own, as often as it takes; the status of the answer. */
    send: (route: string, body: string, idempotencyKey: string) =>
      HttpClientRequest.post(`${base}${route}`).pipe(
        HttpClientRequest.bodyText(body, "application/json"),
        HttpClientRequest.setHeaders({ "idempotency-key": idempotencyKey }),
        ask,
        // what is not read holds its connection
        Effect.tap((response) => Effect.ignore(response.text)),
        Effect.map(({ status }) => status)
      ),
    /** What has happened to a payment; nothing if it is not known. */
    steps: Effect.fnUntraced(function* (transactionId: string) {
      const response = yield* ask(HttpClientRequest.get(`${base}/pix/${transactionId}`))
      const body = yield* json(response)
      if (response.status === 404) return []
      const { steps } = yield* Effect.mapError(decodeHistory(body), () =>
        away(`answers ${response.status} for a history`)
      )
      return steps.map(({ action }) => action)
    })
  }
})

/** A client of one API. */
export type PixClient = Effect.Success<ReturnType<typeof make>>
