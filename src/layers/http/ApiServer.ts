/** The HTTP API as a server: every path, every problem, limits of time, and a stop that finishes what is in flight. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Cause, Clock, Console, Context, Duration, Effect, Layer, References, Schema, Scope, Tracer } from "effect"
import { HttpRouter, HttpServer, HttpServerError, type HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiBuilder, HttpApiScalar, OpenApi } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import type { ChargeNotices } from "../../domain/ports/ChargeNotices.ts"
import { IdempotencyKeys } from "../../domain/ports/IdempotencyKeys.ts"
import { Shutdown } from "../../streams/Shutdown.ts"
import { TracingEnabled } from "../../streams/Tracing.ts"
import * as Access from "./Access.ts"
import * as ApiMetrics from "./ApiMetrics.ts"
import * as HealthServer from "./HealthServer.ts"
import * as Payments from "./Payments.ts"
import * as PaymentWork from "./PaymentWork.ts"
import * as PaystreamApi from "./PaystreamApi.ts"
import * as Pix from "./Pix.ts"
import * as Problems from "./Problems.ts"
import * as Webhooks from "./Webhooks.ts"

/** The port of the API cannot be used; `flaw` says why. */
export class ApiPortUnusable extends Schema.TaggedError<ApiPortUnusable>()("ApiPortUnusable", {
  port: Schema.Int,
  flaw: Schema.String
}) {
  override get message(): string {
    return `PORT: port ${this.port} ${this.flaw}; name another`
  }
}

export interface ApiServerOptions extends Pix.PixOptions {
  /** How payments are processed here; `undefined`: by commands, elsewhere. */
  readonly process: PaymentWork.ProcessPayment
  /** What a provider tells by itself; `undefined`: nothing that is listened to. */
  readonly notices: ChargeNotices["Service"] | undefined
  readonly dependencies: ReadonlyArray<HealthServer.Dependency>
  /** The longest wait for requests in flight. */
  readonly drainTimeout: Duration.Duration
}

// Handlers

const operations = (api: PaystreamApi.Api, { dependencies }: ApiServerOptions) =>
  HttpApiBuilder.group(api, "operations", (handlers) =>
    handlers
      .handleRaw("healthz", () => HealthServer.healthPage)
      .handleRaw("readyz", () => HealthServer.readinessPage(dependencies))
      .handleRaw("metrics", () => Effect.map(PrometheusMetrics.format(), (text) => HttpServerResponse.text(text)))
  )

const handlers = (api: PaystreamApi.Api, options: ApiServerOptions, gate: Access.Gate) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { notices, process, settings } = options
      const surroundings = { keys: yield* IdempotencyKeys, scope: yield* Effect.scope }
      const work = PaymentWork.make(settings, process, surroundings)
      return Layer.mergeAll(
        Pix.layer(api, options, gate, surroundings),
        Payments.layer(api, settings, work),
        Webhooks.layer(api, settings, work, notices),
        operations(api, options)
      )
    })
  )

// What no handler answers

interface Route {
  readonly path: string
  readonly pattern: RegExp
  readonly methods: ReadonlyArray<string>
}

const routesOf = (api: ReturnType<typeof PaystreamApi.make>["declared"]): ReadonlyArray<Route> => {
  const declared = Object.values(api.groups).flatMap((group) => Object.values(group.endpoints))
  const all = [...declared, { path: "/docs", method: "GET" }, { path: "/openapi.json", method: "GET" }]
  return [...Map.groupBy(all, ({ path }) => path)].map(([path, endpoints]) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/:\w+/g, "[^/]+")}/?$`),
    methods: [...new Set(endpoints.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method])))]
  }))
}

const pathOf = (url: string): string => url.split("?", 1)[0] ?? url

const routeFinder = (routes: ReadonlyArray<Route>) => (url: string) => {
  const path = pathOf(url)
  return routes.find((route) => route.path === path) ?? routes.find(({ pattern }) => pattern.test(path))
}

const nowhere = (find: ReturnType<typeof routeFinder>, routes: ReadonlyArray<Route>) =>
  HttpRouter.add("*", "*", (request: HttpServerRequest.HttpServerRequest) => {
    const found = find(request.url)
    if (found === undefined) {
      const detail = `served here: ${routes.map(({ path }) => path).join(", ")}`
      return Problems.toResponse(new Problems.NotFound({ detail }))
    }
    const allow = found.methods.join(", ")
    return Problems.toResponse(new Problems.MethodNotAllowed({ detail: `taken here: ${allow}` }), { allow })
  })

/** What every answer has beside its own, by its status. */
const headersFor = ({ headers, status }: HttpServerResponse.HttpServerResponse, isStopping: boolean) => ({
  ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
  ...(status === 503 && headers["retry-after"] === undefined ? { "retry-after": "2" } : {}),
  // Of a body that was not read to its end, and of a process that stops, the connection is of no more use.
  ...(status === 413 || status === 408 || isStopping ? { connection: "close" } : {})
})

/** The router gives up on a path that is not percent-encoded text, before it looks for who answers everything else. */
const isNoPath = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  return HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound"
}

const failed = (cause: Cause.Cause<unknown>) =>
  isNoPath(cause)
    ? Problems.toResponse(new Problems.NotFound({ detail: "the path is not percent-encoded UTF-8" }))
    : Effect.andThen(Effect.logError("a request failed", cause), Problems.toResponse(new Problems.Unexpected()))

/** Bugs are told in the log, and to the client only that there was one. */
const withProblems = HttpRouter.middleware(
  Effect.map(
    Shutdown,
    (shutdown) => (app) =>
      Effect.catchCauseIf(app, (cause) => !Cause.hasInterruptsOnly(cause), failed).pipe(
        Effect.map((response) => {
          const isStopping = shutdown.isRequestedUnsafe()
          return response.status === 200 && !isStopping
            ? response
            : HttpServerResponse.setHeaders(response, headersFor(response, isStopping))
        })
      )
  ),
  { global: true }
)

// Server

/** Headers are small: who takes longer wants to hold a connection, not to use it. */
const longestHeadersMillis = 10_000

const node = ({ drainTimeout, settings }: ApiServerOptions) => {
  const evaluate = () =>
    createServer({
      headersTimeout: Math.min(Duration.toMillis(settings.requestTimeout), longestHeadersMillis),
      // bodies are limited where they are read: of one that is late, Bun itself would say 200
      requestTimeout: 0,
      connectionsCheckingInterval: 1000,
      // above what load balancers keep connections for: it is theirs to close them
      keepAliveTimeout: 75_000
    })
  return NodeHttpServer.layer(evaluate, {
    port: settings.port,
    ...(settings.host === undefined ? {} : { host: settings.host }),
    gracefulShutdownTimeout: drainTimeout
  })
}

/** A part of a path is as long as the runtime lets it be: the router would take a longer one for another path. */
const routerConfig = Layer.succeed(HttpRouter.RouterConfig, { maxParamLength: Number.MAX_SAFE_INTEGER })

/**
 * What requests are served among: who logs, traces or tells the time looks for these. All that is around the server is
 * copied with each request; stores are not among it, since each group of handlers has its own services.
 */
const ambient = [
  References.CurrentLoggers,
  References.MinimumLogLevel,
  References.CurrentLogAnnotations,
  Console.Console,
  Clock.Clock,
  Tracer.Tracer,
  TracingEnabled
] as const

/** Takes requests for as long as its scope is open. */
const taking = (
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, HttpRouter.GlobalProvided>,
  options: ApiServerOptions
) => {
  const served = HttpServer.serve(app).pipe(Layer.provide(node(options)))
  const needed = (context: Context.Context<Scope.Scope>) => Context.pick(...ambient, Scope.Scope)(context)
  return Layer.effectContext(Effect.updateContext(Layer.build(served), needed))
}

/** Serves until its scope closes, which waits for what is in flight. */
export const layer = (options: ApiServerOptions) => {
  const hasWebhooks = options.notices !== undefined
  const { built: api, declared } = PaystreamApi.make({ brokers: [...options.brokers.keys()], hasWebhooks })
  const routes = routesOf(declared)
  const find = routeFinder(routes)
  const pagesBehind = (gate: Access.Gate, document: Effect.Effect<HttpServerResponse.HttpServerResponse>) =>
    Layer.mergeAll(
      HttpApiBuilder.layer(api).pipe(Layer.provide(handlers(api, options, gate)), Layer.provide(Access.layer(gate))),
      HttpRouter.add("GET", "/openapi.json", document),
      HttpApiScalar.layer(declared, { path: "/docs" }),
      nowhere(find, routes),
      withProblems
    )
  const serve = Effect.gen(function* () {
    const document = yield* Effect.cached(Effect.sync(() => HttpServerResponse.jsonUnsafe(OpenApi.fromApi(declared))))
    const pages = pagesBehind(yield* Access.gate(options.settings), document)
    // All pages are there before the port is: a request that came between would get no answer.
    const built = yield* Layer.build(
      pages.pipe(
        Layer.provideMerge(HttpRouter.layer.pipe(Layer.provide(routerConfig))),
        Layer.provide(NodeHttpServer.layerHttpServices)
      )
    )
    const measured = ApiMetrics.measured((url) => find(url)?.path ?? "none")
    // No middleware of the server: requests then pass it in a single step.
    return taking(measured(Context.get(built, HttpRouter.HttpRouter).asHttpEffect()), options)
  })
  return Layer.unwrap(serve).pipe(
    Layer.catchTag("ServeError", ({ cause }) => {
      const flaw = HealthServer.flawOf(cause)
      return Layer.effectDiscard(Effect.fail(new ApiPortUnusable({ port: options.settings.port, flaw })))
    })
  )
}
