/** The HTTP API as a server: every path, every problem, limits of time, and a stop that finishes what is in flight. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Cause, Context, DateTime, Duration, Effect, Layer, Schema } from "effect"
import {
  HttpMiddleware,
  HttpRouter,
  HttpServer,
  HttpServerError,
  type HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { HttpApiBuilder, HttpApiScalar } from "effect/http-api"
import { PrometheusMetrics } from "effect/observability"
import { TransactionId } from "../../domain/PixEvent.ts"
import { AuditLog } from "../../domain/ports/AuditLog.ts"
import type { Broker } from "../../domain/ports/Broker.ts"
import { IdempotencyKeys } from "../../domain/ports/IdempotencyKeys.ts"
import { Shutdown } from "../../streams/Shutdown.ts"
import { TracingEnabled } from "../../streams/Tracing.ts"
import { within } from "../../streams/Within.ts"
import type { ApiSettings, BrokerKind } from "../config/Settings.ts"
import * as Access from "./Access.ts"
import * as ApiMetrics from "./ApiMetrics.ts"
import * as HealthServer from "./HealthServer.ts"
import * as PixApi from "./PixApi.ts"
import * as Problems from "./Problems.ts"
import * as PublishEvent from "./PublishEvent.ts"

/** The port of the API cannot be used; `flaw` says why. */
export class ApiPortUnusable extends Schema.TaggedError<ApiPortUnusable>()("ApiPortUnusable", {
  port: Schema.Int,
  flaw: Schema.String
}) {
  override get message(): string {
    return `PORT: port ${this.port} ${this.flaw}; name another`
  }
}

export interface ApiServerOptions {
  readonly settings: ApiSettings
  readonly brokers: ReadonlyMap<BrokerKind, Broker["Service"]>
  readonly dependencies: ReadonlyArray<HealthServer.Dependency>
  /** The longest wait for requests in flight. */
  readonly drainTimeout: Duration.Duration
}

type Api = ReturnType<typeof PixApi.make>

// Handlers

const events = (api: Api, { brokers, settings }: ApiServerOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const surroundings = { keys: yield* IdempotencyKeys, scope: yield* Effect.scope }
      const targets = yield* Effect.forEach(brokers, ([kind, broker]) =>
        Effect.map(PublishEvent.targetOf(broker, PixApi.routes[kind].name), (target) => ({ kind, target }))
      )
      return HttpApiBuilder.group(api, "events", (handlers) => {
        for (const { kind, target } of targets) {
          const handler = PublishEvent.make(target, PixApi.routes[kind].path, settings, surroundings)
          for (const alias of PixApi.pathsOf(kind)) handlers.handleRaw(`publish ${alias}`, handler)
        }
        // Which routes there are is known only here: the compiler cannot tell that each has its handler.
        return handlers as never
      })
    })
  )

const isTransactionId = Schema.is(TransactionId)

const unreadable = () => new Problems.Unavailable({ detail: "the audit log cannot be read now" })

const payments = (api: Api, { settings }: ApiServerOptions) =>
  HttpApiBuilder.group(api, "payments", (handlers) =>
    handlers.handle(
      "history",
      Effect.fnUntraced(function* ({ params: { transactionId } }) {
        // A database refuses some texts: of what no payment has for its id, it is not asked.
        if (!isTransactionId(transactionId)) return yield* new Problems.UnknownTransaction()
        const log = yield* AuditLog
        const found = yield* log.history(transactionId).pipe(
          Effect.mapError(() => unreadable()),
          within(settings.publishTimeout, () => Effect.fail(unreadable()))
        )
        const last = found.at(-1)
        if (last === undefined) return yield* new Problems.UnknownTransaction()
        const steps = found.map(({ action, atMillis, detail }) => ({
          action,
          at: DateTime.formatIso(DateTime.makeUnsafe(atMillis)),
          ...(detail === undefined ? {} : { detail })
        }))
        return { transactionId, status: last.action, steps }
      })
    )
  )

const operations = (api: Api, { dependencies }: ApiServerOptions) =>
  HttpApiBuilder.group(api, "operations", (handlers) =>
    handlers
      .handleRaw("healthz", () => HealthServer.healthPage)
      .handleRaw("readyz", () => HealthServer.readinessPage(dependencies))
      .handleRaw("metrics", () => Effect.map(PrometheusMetrics.format(), (text) => HttpServerResponse.text(text)))
  )

// What no handler answers

interface Route {
  readonly path: string
  readonly pattern: RegExp
  readonly methods: ReadonlyArray<string>
}

const routesOf = (api: Api): ReadonlyArray<Route> => {
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
        Effect.zipWith(shutdown.isRequested, (response, isStopping) =>
          response.status === 200 && !isStopping
            ? response
            : HttpServerResponse.setHeaders(response, headersFor(response, isStopping))
        )
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

/** Serves until its scope closes, which waits for what is in flight. */
export const layer = (options: ApiServerOptions) => {
  const api = PixApi.make([...options.brokers.keys()])
  const routes = routesOf(api)
  const find = routeFinder(routes)
  const handlers = Layer.mergeAll(events(api, options), payments(api, options), operations(api, options))
  const pages = Layer.mergeAll(
    HttpApiBuilder.layer(api, { openapiPath: "/openapi.json" }).pipe(
      Layer.provide(handlers),
      Layer.provide(Access.layer(options.settings))
    ),
    HttpApiScalar.layer(api, { path: "/docs" }),
    nowhere(find, routes),
    withProblems
  )
  const serve = Effect.gen(function* () {
    // All pages are there before the port is: a request that came between would get no answer.
    const built = yield* Layer.build(
      pages.pipe(
        Layer.provideMerge(HttpRouter.layer.pipe(Layer.provide(routerConfig))),
        Layer.provide(NodeHttpServer.layerHttpServices)
      )
    )
    const isTracing = yield* TracingEnabled
    const app = Context.get(built, HttpRouter.HttpRouter).asHttpEffect()
    return HttpServer.serve(
      app,
      ApiMetrics.measured((url) => find(url)?.path ?? "none")
    ).pipe(
      Layer.provide(node(options)),
      // spans cost microseconds also where nobody reads them
      Layer.provide(Layer.succeed(HttpMiddleware.TracerDisabledWhen, () => !isTracing))
    )
  })
  return Layer.unwrap(serve).pipe(
    Layer.catchTag("ServeError", ({ cause }) => {
      const flaw = HealthServer.flawOf(cause)
      return Layer.effectDiscard(Effect.fail(new ApiPortUnusable({ port: options.settings.port, flaw })))
    })
  )
}
