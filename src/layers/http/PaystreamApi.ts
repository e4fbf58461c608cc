/** The HTTP API of a process: what is served here is what the OpenAPI document says. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import type { BrokerKind } from "../config/Settings.ts"
import * as PaymentsApi from "./PaymentsApi.ts"
import * as PixApi from "./PixApi.ts"

const page = <const Name extends string>(name: Name, path: `/${string}`, summary: string) =>
  HttpApiEndpoint.get(name, path, {
    success: [Schema.String.pipe(HttpApiSchema.asText())],
    error: [Schema.String.pipe(HttpApiSchema.asText(), HttpApiSchema.status(503))]
  }).annotate(OpenApi.Summary, summary)

/** For probes and metrics; no key is asked for. */
const operations = HttpApiGroup.make("operations").add(
  page("healthz", "/healthz", "Whether the process works (JSON)"),
  page("readyz", "/readyz", "Whether it can serve, and what is away (JSON)"),
  page("metrics", "/metrics", "Metrics, as Prometheus reads them")
)

/** What a process serves beside payments. */
export interface Served {
  readonly brokers: ReadonlyArray<BrokerKind>
  readonly hasWebhooks: boolean
}

/** The API of a process that serves these: all that it declares, and what of it is built from the declaration. */
export const make = ({ brokers, hasWebhooks }: Served) => {
  const payments = PaymentsApi.groups({ hasWebhooks })
  const [events, histories] = [PixApi.events(brokers), PixApi.histories]
  return {
    declared: HttpApi.make("paystream")
      .add(...payments, events, histories, operations)
      .annotate(OpenApi.Title, "Paystream: payments and PIX events")
      .annotate(OpenApi.Version, "1.0.0"),
    built: HttpApi.make("paystream").add(...payments, histories, operations)
  }
}

/** What of it is built from the declaration. */
export type Api = ReturnType<typeof make>["built"]
