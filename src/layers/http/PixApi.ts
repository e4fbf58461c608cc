/** The PIX system, as the HTTP API declares it. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
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

/** PIX events, at a route of its own for each of these brokers. Declared: `Pix` serves them without what is built of it. */
export const events = (kinds: ReadonlyArray<BrokerKind>) => {
  const endpoints = kinds.flatMap((kind) => pathsOf(kind).map((path) => publishTo(kind, path)))
  return HttpApiGroup.make("events")
    .add(...(endpoints as [(typeof endpoints)[number]]))
    .middleware(Access)
}

/** What has happened to PIX payments. */
export const histories = HttpApiGroup.make("pix").add(history).middleware(Access)
