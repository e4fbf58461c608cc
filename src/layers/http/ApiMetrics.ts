/** What the API measures of each request: by route and status, and how long it took. */
import { Clock, Context, Effect, Exit, Metric } from "effect"
import { type HttpServerRequest, type HttpServerResponse, HttpServerRequest as Request } from "effect/http"
import { seriesOf } from "../../streams/MetricSeries.ts"

const requests = seriesOf(["method", "route", "status"], (attributes) =>
  Metric.counter("paystream_http_requests_total", {
    description: "Requests answered, by method, route and status",
    attributes,
    incremental: true
  })
)

const seconds = seriesOf(["route"], (attributes) =>
  Metric.histogram("paystream_http_request_seconds", {
    description: "From a request taken to its answer, in seconds, by route",
    attributes,
    boundaries: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
  })
)

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/** Measures requests; `routeOf` gives one of few names for an address, or there would be a series for each. */
export const measured = (routeOf: (url: string) => string) => {
  const tell = (request: HttpServerRequest.HttpServerRequest, status: number, millis: number) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const route = routeOf(request.url)
      const method = methods.has(request.method) ? request.method : "other"
      requests(method, route, String(status)).updateUnsafe(1, context)
      seconds(route).updateUnsafe(millis / 1000, context)
      return Effect.logDebug(`${method} ${route} ${status} in ${millis} ms`)
    })
  return <E, R>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
    Effect.contextWith((context: Context.Context<HttpServerRequest.HttpServerRequest>) => {
      const request = Context.get(context, Request.HttpServerRequest)
      const clock = Context.get(context, Clock.Clock)
      const start = clock.currentTimeMillisUnsafe()
      // A client that has gone is counted as others count it, who keep to nginx.
      const statusOf = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, E>) =>
        Exit.isSuccess(exit) ? exit.value.status : 499
      return Effect.onExit(app, (exit) =>
        Effect.suspend(() => tell(request, statusOf(exit), clock.currentTimeMillisUnsafe() - start))
      )
    })
}
