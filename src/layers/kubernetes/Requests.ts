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

/** More than a page of objects can be that anybody should read. */
const longestBody = 256 * 2 ** 20

/** An API server closes connections that were idle for 90 seconds: ours go before, or a request would run into that. */
const idleMillis = 60_000

/** A leader that waits longer for an answer has no time left to ask again before it has to give up. */
const longestLeaseMillis = 2_000

/** All its connections are alike: what tells them apart (certificates, keys) is not put together for each request. */
class OneServerAgent extends https.Agent {
  override getName(): string {
    return "the API server"
  }
}

const makeAgents = Effect.acquireRelease(
  Effect.sync((): Record<Lane, https.Agent> => {
    const agent = () => new OneServerAgent({ keepAlive: true, timeout: idleMillis })
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
    const server = serverOf(credentials)
    const limit = Duration.toMillis(timeout)
    const leaseLimit = Math.min(limit, longestLeaseMillis)

    /** A token may have been replaced since it was read: a refused one is read again, once. */
    const authorized = <A extends { readonly status: number }, R>(
      call: Call,
      use: (options: https.RequestOptions, time: Time) => Effect.Effect<A, NoAnswer, R>
    ): Effect.Effect<A, ClusterError, R> => {
      const agent = agents[call.lane]
      const time = { limit: call.lane === "leases" ? leaseLimit : limit, onLate: () => closeIdle(agent) }
      const once = Effect.flatMap(credentials.token, (token) => use(optionsOf(server, agent, call, token), time))
      const counted = Effect.onExit(once, (exit) =>
        Metrics.countRequest(address, call.method, Exit.isSuccess(exit) ? `${exit.value.status}` : "<error>")
      )
      return counted.pipe(
        Effect.filterOrElse(
          (answer) => answer.status !== 401,
          () => Effect.andThen(credentials.forgetToken, counted)
        ),
        Effect.mapError(({ cause }) => away(address, `${call.method} ${call.path.split("?")[0]}`, cause))
      )
    }
    return {
      address,
      send: (call) => authorized(call, (options, time) => exchange(options, bodyOf(call), time)),
      open: (call) => authorized(call, opened)
    }
  })

const bodyOf = ({ body }: Call): string | undefined => (body === undefined ? undefined : JSON.stringify(body))

/** What is the same for each request. */
const serverOf = ({ server, tls }: Credentials) => ({
  options: {
    ...Redacted.value(tls),
    hostname: server.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: server.port === "" ? 443 : Number(server.port)
  },
  folder: server.pathname.replace(/\/$/, "")
})

const optionsOf = (
  { folder, options }: ReturnType<typeof serverOf>,
  agent: https.Agent,
  call: Call,
  token: Redacted.Redacted | undefined
): https.RequestOptions => ({
  ...options,
  agent,
  path: `${folder}${call.path}`,
  method: call.method,
  headers: {
    accept: "application/json",
    "user-agent": "paystream",
    ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
    ...(token === undefined ? {} : { authorization: `Bearer ${Redacted.value(token)}` })
  }
})

/** How long an answer may take, in milliseconds, and what is done when it takes longer. */
interface Time {
  readonly limit: number
  readonly onLate: () => void
}

type Settle<A> = (answer: Effect.Effect<A, NoAnswer>) => void

/** What a request gives, in time. By a timer: Effect's own time-out is a race of two fibers, for each request. */
const inTime = <A>({ limit, onLate }: Time, ask: (settle: Settle<A>) => ClientRequest): Effect.Effect<A, NoAnswer> =>
  Effect.callback((resume) => {
    const settle: Settle<A> = (answer) => {
      clearTimeout(timer)
      resume(answer)
    }
    const timer = setTimeout(() => {
      onLate()
      settle(new NoAnswer({ cause: "no answer within the time" }))
      request.destroy()
    }, limit)
    const request = ask(settle)
    return Effect.sync(() => {
      clearTimeout(timer)
      request.destroy()
    })
  })

const exchange = (options: https.RequestOptions, body: string | undefined, time: Time) =>
  inTime<Answer>(time, (settle) => {
    const fail = (cause: unknown) => settle(new NoAnswer({ cause }))
    // said always: a DELETE without it runs into the next request of its connection
    const length = body === undefined ? {} : { "content-length": Buffer.byteLength(body) }
    const request = https.request({ ...options, headers: { ...options.headers, ...length } }, (response) =>
      collect(response, fail, (text) =>
        settle(
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
    return request
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

const opened = (options: https.RequestOptions, time: Time): Effect.Effect<Opened, NoAnswer, Scope.Scope> =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => https.request(options)),
      (request) => Effect.sync(() => void request.destroy())
    ),
    (request) => begin(request, time)
  )

const begin = (request: ClientRequest, time: Time) =>
  inTime<Opened>(time, (settle) => {
    // stays: an error after the beginning shows at the response too, and must not end the process here
    request.on("error", (cause) => settle(new NoAnswer({ cause })))
    request.once("response", (response) => settle(Effect.succeed({ status: response.statusCode ?? 0, response })))
    request.end()
    return request
  })

/** The body of an answer that is not what was asked for: an error's own words, or none where they do not end in time. */
export const rest = ({ response, status }: Opened, limit: Duration.Duration): Effect.Effect<Answer> => {
  const answer = (body: string): Answer => ({ status, retryAfter: response.headers["retry-after"], body })
  const whole = Effect.callback<Answer>((resume) => {
    const tell = (body: string) => resume(Effect.succeed(answer(body)))
    collect(response, () => tell(""), tell)
  })
  return Effect.timeoutOrElse(whole, { duration: limit, orElse: () => Effect.succeed(answer("")) })
}
