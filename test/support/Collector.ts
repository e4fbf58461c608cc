/** An OpenTelemetry collector that keeps what it gets, as JSON over HTTP. */
import { createServer, type IncomingMessage, type RequestListener } from "node:http"
import { Effect, type Scope } from "effect"

interface Attribute {
  readonly key: string
  /** Under the name of its type. */
  readonly value: Readonly<Record<string, unknown>>
}

export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly attributes: ReadonlyArray<Attribute>
  readonly status?: { readonly code: number }
  readonly links?: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
}

interface Resource {
  readonly attributes: ReadonlyArray<Attribute>
}

interface Export {
  readonly resourceSpans?: ReadonlyArray<{
    readonly resource: Resource
    readonly scopeSpans: ReadonlyArray<{ readonly spans: ReadonlyArray<Span> }>
  }>
  readonly resourceMetrics?: ReadonlyArray<{
    readonly resource: Resource
    readonly scopeMetrics: ReadonlyArray<{ readonly metrics: ReadonlyArray<{ readonly name: string }> }>
  }>
}

export interface Collector {
  readonly url: string
  /** All bodies as they came. */
  readonly text: () => string
  readonly spans: () => ReadonlyArray<Span>
  readonly metricNames: () => ReadonlySet<string>
  readonly serviceNames: () => ReadonlySet<unknown>
}

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const pieces: Array<Buffer> = []
  for await (const piece of request) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

/** What a span, or whoever sends it, says of itself. */
export const attributesOf = ({ attributes }: Resource): Readonly<Record<string, unknown>> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** Listens on a free port until the scope closes; its address. */
const listen = (listener: RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const server = createServer(listener)
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
      () => Effect.sync(() => server.close().closeAllConnections())
    )
    const address = server.address()
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`
  })

/** The address of one that takes all and never answers. */
export const silent = listen(() => undefined)

/** One that answers. */
export const start: Effect.Effect<Collector, never, Scope.Scope> = Effect.gen(function* () {
  const bodies: Array<string> = []
  const url = yield* listen((request, response) => {
    bodyOf(request).then((body) => {
      bodies.push(body)
      response.writeHead(200, { "content-type": "application/json" }).end("{}")
    })
  })
  const exports = () => bodies.map((body): Export => JSON.parse(body))
  const traces = () => exports().flatMap(({ resourceSpans = [] }) => resourceSpans)
  const metrics = () => exports().flatMap(({ resourceMetrics = [] }) => resourceMetrics)
  return {
    url,
    text: () => bodies.join("\n"),
    spans: () => traces().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)),
    metricNames: () =>
      new Set(
        metrics().flatMap(({ scopeMetrics }) =>
          scopeMetrics.flatMap((scope) => scope.metrics.map((metric) => metric.name))
        )
      ),
    serviceNames: () =>
      new Set([...traces(), ...metrics()].map(({ resource }) => attributesOf(resource)["service.name"]))
  }
})
