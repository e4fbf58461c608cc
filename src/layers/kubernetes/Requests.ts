/** Requests to the API server, by `node:https` alone: the same on both runtimes. */
import type { ClientRequest, IncomingMessage } from "node:http"
import * as https from "node:https"
import { Data, Duration, Effect, Exit, Redacted, type Scope } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import type { Credentials } from "./Credentials.ts"
import { away } from "./KubernetesErrors.ts"
import * as Metrics from "./KubernetesMetrics.ts"

/** Connections of their own, so that no sort of request waits for another. */
export type Lane = "requests" | "watches" | "leases"

export interface Call {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  /** With its query. */
  readonly path: string
  readonly lane: Lane
  readonly body?: unknown
  readonly contentType?: "application/json" | "application/merge-patch+json"
}

/** An answer, whatever its status. */
export interface Answer {
  readonly status: number
  /** As the server said it. */
  readonly retryAfter: string | undefined
  readonly body: string
}

/** An answer whose body is yet to come. */
export interface Opened {
  readonly status: number
  readonly response: IncomingMessage
}

export interface Requests {
  /** Where the API server is, without credentials. */
  readonly address: string
  readonly send: (call: Call) => Effect.Effect<Answer, ClusterError>
  /** Ends with the scope. */
  readonly open: (call: Call) => Effect.Effect<Opened, ClusterError, Scope.Scope>
}

/** Why there is no answer, or no whole one. */
class NoAnswer extends Data.TaggedError("NoAnswer")<{ readonly cause: unknown }> {}

/** More than a page of 500 objects can be that anybody should read. */
const longestBody = 256 * 2 ** 20

/** An API server closes connections that were idle for 90 seconds: ours go before, or a request would run into that. */
const idleMillis = 60_000

/** A leader that waits longer for an answer has no time left to ask again before it has to give up. */
const leaseTimeout = Duration.seconds(2)

const makeAgents = Effect.acquireRelease(
  Effect.sync((): Record<Lane, https.Agent> => {
    const agent = () => new https.Agent({ keepAlive: true, timeout: idleMillis })
    return { requests: agent(), watches: agent(), leases: agent() }
  }),
  (agents) =>
    Effect.sync(() => {
      for (const agent of Object.values(agents)) agent.destroy()
    })
)

/** One that is held up shows that the others may be too: each would cost a request its time. */
const closeIdle = ({ freeSockets }: https.Agent): void => {
  for (const sockets of Object.values(freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

/** Requests with these credentials; `timeout` is for an answer, or for the beginning of one; leases have less. */
export const make = (
  credentials: Credentials,
  timeout: Duration.Duration
): Effect.Effect<Requests, never, Scope.Scope> =>
  Effect.map(makeAgents, (agents) => {
    const address = credentials.server.host

    /** A token may have been replaced since it was read: a refused one is read again, once. */
    const authorized = <A extends { readonly status: number }, R>(
      call: Call,
      use: (options: https.RequestOptions) => Effect.Effect<A, NoAnswer, R>
    ): Effect.Effect<A, NoAnswer, R> => {
      const once = Effect.flatMap(credentials.token, (token) =>
        use({ ...optionsOf(credentials, call, token), agent: agents[call.lane] })
      )
      const counted = Effect.onExit(once, (exit) =>
        Metrics.countRequest(address, call.method, Exit.isSuccess(exit) ? `${exit.value.status}` : "<error>")
      )
      return Effect.filterOrElse(
        counted,
        (answer) => answer.status !== 401,
        () => Effect.andThen(credentials.forgetToken, counted)
      )
    }
    const inTime = <A, R>({ lane, method, path }: Call, effect: Effect.Effect<A, NoAnswer, R>) =>
      effect.pipe(
        Effect.timeoutOrElse({
          duration: lane === "leases" ? Duration.min(timeout, leaseTimeout) : timeout,
          orElse: () => {
            closeIdle(agents[lane])
            return new NoAnswer({ cause: "no answer within the time" })
          }
        }),
        Effect.mapError(({ cause }) => away(address, `${method} ${path.split("?")[0]}`, cause))
      )
    return {
      address,
      send: (call) =>
        inTime(
          call,
          authorized(call, (options) => exchange(options, bodyOf(call)))
        ),
      open: (call) => inTime(call, authorized(call, opened))
    }
  })

const bodyOf = ({ body }: Call): string | undefined => (body === undefined ? undefined : JSON.stringify(body))

const optionsOf = (
  { server, tls }: Credentials,
  call: Call,
  token: Redacted.Redacted | undefined
): https.RequestOptions => ({
  ...Redacted.value(tls),
  hostname: server.hostname.replace(/^\[(.*)\]$/, "$1"),
  port: server.port === "" ? 443 : Number(server.port),
  path: `${server.pathname.replace(/\/$/, "")}${call.path}`,
  method: call.method,
  headers: {
    accept: "application/json",
    "user-agent": "paystream",
    ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
    ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` })
  }
})

const exchange = (options: https.RequestOptions, body: string | undefined): Effect.Effect<Answer, NoAnswer> =>
  Effect.callback((resume) => {
    const fail = (cause: unknown) => resume(new NoAnswer({ cause }))
    // said always: a DELETE without it runs into the next request of its connection
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) }
    const request = https.request({ ...options, headers: { ...options.headers, ...length } }, (response) =>
      collect(response, fail, (text) =>
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            retryAfter: response.headers["retry-after"],
            body: text
          })
        )
      )
    )
    request.on("error", fail)
    request.end(body)
    return Effect.sync(() => void request.destroy())
  })

const collect = (response: IncomingMessage, fail: (cause: unknown) => void, done: (text: string) => void): void => {
  const chunks: Array<Buffer> = []
  let size = 0
  response.on("data", (chunk: Buffer) => {
    size += chunk.length
    chunks.push(chunk)
    if (size > longestBody) response.destroy(new Error(`the answer is longer than ${longestBody} bytes`))
  })
  response.on("error", fail)
  response.on("end", () => done(Buffer.concat(chunks).toString("utf8")))
  // what ended neither well nor with an error; an error that nobody waits for costs its stack all the same
  response.on("close", () => {
    if (!response.complete) fail("the connection was cut within the answer")
  })
}

const opened = (options: https.RequestOptions): Effect.Effect<Opened, NoAnswer, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => https.request(options)),
      (request) => Effect.sync(() => void request.destroy())
    ),
    begin
  )

const begin = (request: ClientRequest): Effect.Effect<Opened, NoAnswer> =>
  Effect.callback((resume) => {
    // stays: an error after the beginning shows at the response too, and must not end the process here
    request.on("error", (cause) => resume(new NoAnswer({ cause })))
    request.once("response", (response) => resume(Effect.succeed({ status: response.statusCode ?? 0, response })))
    request.end()
  })

/** The body of an answer that is not what was asked for: an error's own words. */
export const rest = ({ response, status }: Opened): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const answer = (body: string) =>
      resume(Effect.succeed({ status, retryAfter: response.headers["retry-after"], body }))
    collect(response, () => answer(""), answer)
  })
