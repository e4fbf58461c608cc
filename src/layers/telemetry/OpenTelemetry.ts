/** Traces and metrics to an OpenTelemetry collector. */
import { ConfigProvider, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { OtlpMetrics, OtlpSerialization, OtlpTracer } from "effect/observability"
import { TracingEnabled } from "../../streams/Tracing.ts"
import type { Environment } from "../config/Settings.ts"
import * as SpanFailures from "./SpanFailures.ts"

/**
 * OpenTelemetry's own defaults, since Effect exports nothing unless it is said; but for the time in milliseconds that the
 * last numbers get at the end: a collector that hangs must not use up the drain's.
 */
const defaults = { OTEL_TRACES_EXPORTER: "otlp", OTEL_METRICS_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_TIMEOUT: "1000" }

/** The standard variables (`OTEL_EXPORTER_OTLP_*`), of the process or of `.env`, are taken as they are. */
export const layer = (environment: Environment, serviceName: string): Layer.Layer<never> => {
  const env = { ...defaults, ...definedOnly(environment.variables) }
  const resource = { serviceName }
  return Layer.mergeAll(
    Layer.provideMerge(SpanFailures.layer, OtlpTracer.layerFromConfig({ resource })),
    OtlpMetrics.layerFromConfig({ resource }),
    Layer.succeed(TracingEnabled, true)
  ).pipe(
    Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  )
}

const definedOnly = (variables: Environment["variables"]) =>
  Object.fromEntries(Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined))
