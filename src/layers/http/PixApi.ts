/** The HTTP API as it is declared: what is served here is what the OpenAPI document says. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { schemas, type Topic, topics } from "../../domain/PixEvent.ts"
import type { BrokerKind } from "../config/Settings.ts"
import { Access } from "./Access.ts"
import * as Problems from "./Problems.ts"

/** Where each broker is served, and how people call it. */
export const routes: Readonly<Record<BrokerKind, { readonly path: `/${string}`; readonly name: string }>> = {
  kafka: { path: "/kafka", name: "Kafka" },
  rabbitmq: { path: "/rabbit", name: "RabbitMQ" },
  embedded: { path: "/embedded", name: "the embedded broker" }
}

const eventOf = <T extends Topic>(topic: T) => Schema.Struct({ topic: Schema.Literal(topic), value: schemas[topic] })

/** What is taken: documentation of it, since the body itself is read as text, to the last digit. */
const Event = Schema.Union([
  Schema.Struct({ topic: Schema.optionalKey(Schema.Literal(topics.requested)), value: schemas[topics.requested] }),
  eventOf(topics.validated),
  eventOf(topics.settled),
  eventOf(topics.notified),
  eventOf(topics.audit)
])

/** The broker has confirmed the event. */
const Sent = Schema.Struct({ status: Schema.String, topic: Schema.String })

const headers = Schema.Struct({
  "idempotency-key": Schema.optionalKey(Schema.String).annotateKey({
    description:
      "1 to 255 visible ASCII characters: the same request sent again under it gets the same answer, and publishes nothing new."
  })
})

const publishProblems = [
  Problems.NotJson,
  Problems.InvalidEvent,
  Problems.InvalidKey,
  Problems.RequestTimeout,
  Problems.UnderWay,
  Problems.BodyTooLarge,
  Problems.OtherRequest,
  Problems.Unavailable
] as const

const publishTo = (kind: BrokerKind, path: `/${string}`) =>
  HttpApiEndpoint.post(`publish ${path}`, path, { headers, payload: Event, success: Sent, error: publishProblems })
    .annotate(OpenApi.Summary, `Send an event to ${routes[kind].name}`)
    .annotate(
      OpenApi.Description,
      "Answered 200 once the broker has confirmed the event. `value` is published as it was received, with `transactionId` for its key; without a topic it asks for a payment."
    )

/** The paths of a broker's route. */
export const pathsOf = (kind: BrokerKind): ReadonlyArray<`/${string}`> => [
  routes[kind].path,
  `/pix${routes[kind].path}`
]

/** One step of a payment. */
const Step = Schema.Struct({ action: Schema.String, at: Schema.String, detail: Schema.optionalKey(Schema.String) })

/** What has happened to a payment. */
export const History = Schema.Struct({ transactionId: Schema.String, status: Schema.String, steps: Schema.Array(Step) })

const history = HttpApiEndpoint.get("history", "/pix/:transactionId", {
  params: { transactionId: Schema.String.annotate({ description: "As the payment was asked for." }) },
  success: History,
  error: [Problems.UnknownTransaction, Problems.Unavailable]
})
  .annotate(OpenApi.Summary, "What has happened to a payment")
  .annotate(
    OpenApi.Description,
    "The steps in the audit log, in the order in which they happened; `status` is the last of them."
  )

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

/** The API of a process that serves these brokers. */
export const make = (kinds: ReadonlyArray<BrokerKind>) => {
  const endpoints = kinds.flatMap((kind) => pathsOf(kind).map((path) => publishTo(kind, path)))
  const events = HttpApiGroup.make("events").add(...(endpoints as [(typeof endpoints)[number]]))
  return HttpApi.make("paystream")
    .add(events.middleware(Access), HttpApiGroup.make("payments").add(history).middleware(Access), operations)
    .annotate(OpenApi.Title, "Paystream: PIX events")
    .annotate(OpenApi.Version, "1.0.0")
}
