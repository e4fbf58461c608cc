/** What the API measures of each request: by route and status, and how long it took. */
import { Clock, Context, Effect, Exit, Metric } from "effect"
import { type HttpServerRequest, type HttpServerResponse, HttpServerRequest as Request } from "effect/http"

const requests = Metric.counter("paystream_http_requests_total", {
  description: "Requests answered, by method, route and status",
  incremental: true
})

const seconds = Metric.histogram("paystream_http_request_seconds", {
  description: "From a request taken to its answer, in seconds, by route",
  boundaries: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
})

const methods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

const memoized = <A>(make: (name: string) => A) => {
  const known = new Map<string, A>()
  return (name: string): A => {
    const found = known.get(name) ?? make(name)
    known.set(name, found)
    return found
  }
}

/** Measures requests; `routeOf` gives one of few names for an address, or there would be a series for each. */
export const measured = (routeOf: (url: string) => string) => {
  // Attributes are put on once for each series, not for each request.
  const secondsOf = memoized((route) => Metric.withAttributes(seconds, { route }))
  const requestsOf = memoized((name) => {
    const [method = "", route = "", status = ""] = name.split(" ")
    return Metric.withAttributes(requests, { method, route, status })
  })
  const tell = (request: HttpServerRequest.HttpServerRequest, status: number, millis: number) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const route = routeOf(request.url)
      const method = methods.has(request.method) ? request.method : "other"
      requestsOf(`${method} ${route} ${status}`).updateUnsafe(1, context)
      secondsOf(route).updateUnsafe(millis / 1000, context)
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
