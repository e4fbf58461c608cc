/** What is measured of the API server: requests under client-go's names, and whether watches are alive. */
import { Clock, Effect, Metric } from "effect"
import { seriesOf } from "../../streams/MetricSeries.ts"

const requests = Metric.counter("rest_client_requests_total", {
  description: "Requests to the API server, by status code, method and host",
  incremental: true
})
const lastByte = Metric.gauge("paystream_watch_last_byte_timestamp_seconds", {
  description: "When a watch last heard of the API server, by kind and namespace: bookmarks come every minute"
})
const opened = Metric.counter("paystream_watch_opened_total", {
  description: "Watches that were opened, by kind",
  incremental: true
})
const relisted = Metric.counter("paystream_watch_relists_total", {
  description: "Lists that began a watch, by kind and why",
  incremental: true
})

const requestsOf = seriesOf(requests, ["host", "method", "code"])
const lastByteOf = seriesOf(lastByte, ["kind", "namespace"])
const openedOf = seriesOf(opened, ["kind"])
const relistedOf = seriesOf(relisted, ["kind", "reason"])

/** A request that was answered, or `<error>`. */
export const countRequest = (host: string, method: string, code: string): Effect.Effect<void> =>
  Metric.update(requestsOf(host, method, code), 1)

/** Something came, be it a bookmark. */
export const heard = (kind: string, namespace: string | undefined): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (millis) =>
    Metric.update(lastByteOf(kind, namespace ?? "all"), millis / 1000)
  )

export const countOpened = (kind: string): Effect.Effect<void> => Metric.update(openedOf(kind), 1)

export const countRelist = (kind: string, reason: string): Effect.Effect<void> =>
  Metric.update(relistedOf(kind, reason), 1)
