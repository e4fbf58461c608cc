/** What is measured of the API server: requests under client-go's names, and whether watches are alive. */
import { Clock, type Effect, Metric } from "effect"
import { seriesOf, updateAll } from "../../streams/MetricSeries.ts"

const requests = seriesOf(["host", "method", "code"], (attributes) =>
  Metric.counter("rest_client_requests_total", {
    description: "Requests to the API server, by status code, method and host",
    attributes,
    incremental: true
  })
)
const lastByte = seriesOf(["kind", "namespace"], (attributes) =>
  Metric.gauge("paystream_watch_last_byte_timestamp_seconds", {
    description: "When a watch last heard of the API server, by kind and namespace: bookmarks come every minute",
    attributes
  })
)
const opened = seriesOf(["kind"], (attributes) =>
  Metric.counter("paystream_watch_opened_total", {
    description: "Watches that were opened, by kind",
    attributes,
    incremental: true
  })
)
const relisted = seriesOf(["kind", "reason"], (attributes) =>
  Metric.counter("paystream_watch_relists_total", {
    description: "Lists that began a watch, by kind and why",
    attributes,
    incremental: true
  })
)

/** A request that was answered, or `<error>`. */
export const countRequest = (host: string, method: string, code: string): Effect.Effect<void> =>
  updateAll([requests(host, method, code), 1])

/** Something came, be it a bookmark. */
export const heard = (kind: string, namespace: string | undefined): Effect.Effect<void> =>
  Clock.clockWith((clock) => updateAll([lastByte(kind, namespace ?? "all"), clock.currentTimeMillisUnsafe() / 1000]))

export const countOpened = (kind: string): Effect.Effect<void> => updateAll([opened(kind), 1])

export const countRelist = (kind: string, reason: string): Effect.Effect<void> => updateAll([relisted(kind, reason), 1])
