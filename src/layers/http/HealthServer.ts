/** `/healthz` (supervision works), `/readyz` (the services answer) and `/metrics` (Prometheus). */

import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, Predicate, Schema } from "effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import { Supervisor } from "../../streams/Supervisor.ts"
import type { HealthSettings } from "../config/Settings.ts"

/** A service that the process needs; the probe fails, or does not end in time, while it is away. */
export interface Dependency {
  readonly name: string
  readonly isReady: Effect.Effect<boolean>
}

/** Pages of a part of the process, beside those for probes. */
export type Pages = Layer.Layer<never, never, HttpRouter.HttpRouter>

/** The port that was asked for cannot be used; `flaw` says why. */
export class HealthPortUnusable extends Schema.TaggedError<HealthPortUnusable>()("HealthPortUnusable", {
  port: Schema.Int,
  flaw: Schema.String
}) {
  override get message(): string {
    return `HEALTH_PORT: port ${this.port} ${this.flaw}; name another, or 0 for no health pages`
  }
}

const flaws: Readonly<Record<string, string>> = {
  EADDRINUSE: "is taken by another program",
  EACCES: "is not permitted to this user"
}

/** What is wrong with a port that cannot be listened at, in words. */
export const flawOf = (cause: unknown): string => {
  const code = Predicate.hasProperty(cause, "code") ? String(cause.code) : String(cause)
  return flaws[code] ?? `cannot be listened at (${code})`
}

/** A probe is answered well within the second that Kubernetes waits by default. */
const probeTimeout = "800 millis"

const json = (ok: boolean, body: Record<string, unknown>) =>
  HttpServerResponse.jsonUnsafe({ status: ok ? "ok" : "unavailable", ...body }, { status: ok ? 200 : 503 })

/** Whether supervision works. */
export const healthPage = Effect.gen(function* () {
  const states = yield* (yield* Supervisor).states
  return json(
    [...states.values()].every((state) => state !== "failed"),
    { streams: Object.fromEntries(states) }
  )
})

/** Whether the services answer. */
export const readinessPage = (dependencies: ReadonlyArray<Dependency>) =>
  Effect.gen(function* () {
    const answers = yield* Effect.forEach(
      dependencies,
      ({ isReady, name }) =>
        isReady.pipe(
          Effect.timeoutOrElse({ duration: probeTimeout, orElse: () => Effect.succeed(false) }),
          Effect.map((ready) => [name, ready ? "connected" : "away"] as const)
        ),
      { concurrency: "unbounded" }
    )
    const states = yield* (yield* Supervisor).states
    const unready = [...states].filter(([, state]) => state === "failing" || state === "starting")
    return json(
      unready.length === 0 && answers.every(([, state]) => state === "connected"),
      Object.fromEntries([...answers, ...unready])
    )
  })

/** Serves the pages. That the default port is taken costs only the pages; a port that was asked for must be free. */
export const layer = (
  { asked, port }: HealthSettings,
  dependencies: ReadonlyArray<Dependency>,
  more: Pages = Layer.empty
): Layer.Layer<never, HealthPortUnusable, Supervisor> => {
  if (port === undefined) return Layer.empty
  const pages = Layer.mergeAll(
    HttpRouter.add("GET", "/healthz", healthPage),
    HttpRouter.add("GET", "/readyz", readinessPage(dependencies)),
    PrometheusMetrics.layerHttp({ path: "/metrics" }),
    more
  )
  return HttpRouter.serve(pages, { disableLogger: true, disableListenLog: true }).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port, gracefulShutdownTimeout: "1 second" })),
    Layer.catch(({ cause }) => {
      const flaw = flawOf(cause)
      if (asked) return Layer.effectDiscard(Effect.fail(new HealthPortUnusable({ port, flaw })))
      const text = `port ${port} ${flaw}: this process has no health and metrics pages; HEALTH_PORT names another port`
      return Layer.effectDiscard(Effect.logWarning(text))
    })
  )
}
