/** What the HTTP API serves, to whom, and how much of it. */
import { type Duration, type Redacted, Result } from "effect"
import * as Parser from "./Parser.ts"
import { type BrokerKind, broker } from "./ProcessSettings.ts"
import { all, type Group, optional, refine, setting } from "./Setting.ts"

export interface ApiSettings {
  readonly port: number
  /** `undefined`: all addresses of the machine. */
  readonly host: string | undefined
  readonly maxBodyBytes: number
  /** None: everybody may use the API. */
  readonly keys: ReadonlyArray<Redacted.Redacted>
  /** Requests per key and second; `undefined` is no limit. */
  readonly rateLimit: number | undefined
  readonly requestTimeout: Duration.Duration
  readonly publishTimeout: Duration.Duration
  readonly paymentTimeout: Duration.Duration
  readonly keyRetention: Duration.Duration
  readonly databaseConnections: number
}

const askedBrokers = optional(
  Parser.listOf(
    Parser.oneOf<BrokerKind | "none">({ kafka: "kafka", rabbitmq: "rabbitmq", embedded: "embedded", none: "none" })
  ),
  {
    name: "API_BROKERS",
    default: "the one of BROKER",
    reason:
      "The brokers that the API publishes PIX events to, each at a route of its own, separated by commas; `none` serves payments alone."
  }
)

const withoutNone = (asked: ReadonlyArray<BrokerKind | "none">) => {
  const kinds = [...new Set(asked)].filter((kind) => kind !== "none")
  return kinds.length > 0 && asked.includes("none")
    ? Result.fail([{ name: askedBrokers.name, got: JSON.stringify(asked.join(",")), takes: "none, or brokers" }])
    : Result.succeed(kinds)
}

/** Which routes a process serves. One that was not asked for would only make it not ready, where its broker is away. */
export const apiBrokers: Group<ReadonlyArray<BrokerKind>> = refine(askedBrokers, (asked, environment) =>
  asked === undefined ? Result.map(broker.read(environment), (kind) => [kind]) : withoutNone(asked)
)

/** Every broker that the settings name: the one of `BROKER`, and those that an API publishes to. */
export const configuredBrokers: Group<ReadonlyArray<BrokerKind>> = refine(
  all({ broker, served: apiBrokers }),
  ({ broker: own, served }) => Result.succeed([...new Set([own, ...served])])
)

const keys = optional(Parser.secrets("keys"), {
  name: "API_KEYS",
  default: "everybody may use the API",
  reason:
    "Who may use the API, by key: as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Several are separated by commas. On the page `/jobs`, whoever has one may run and pause jobs; without keys nobody may.",
  secret: true
})

/** Who may do something here; none is everybody, or nobody. */
export const apiKeys: Group<ReadonlyArray<Redacted.Redacted>> = refine(keys, (given = []) => Result.succeed(given))

/** How often; `undefined` is no limit. */
export const apiRateLimit: Group<number | undefined> = optional(
  Parser.orWord("unlimited", Parser.integer({ minimum: 1, maximum: 1_000_000, unit: "requests" })),
  {
    name: "API_RATE_LIMIT",
    default: "unlimited",
    reason:
      "Requests that each key may send per second, to each process, and forms of the page `/jobs` beside them; more are answered 429."
  }
)

export const apiSettings: Group<ApiSettings> = all({
  port: setting(Parser.port, { name: "PORT", default: "5000", reason: "Port of the HTTP API." }),
  host: optional(Parser.host, {
    name: "API_HOST",
    default: "every address of the machine",
    reason: "The address that the HTTP API listens at."
  }),
  maxBodyBytes: setting(Parser.integer({ minimum: 1, maximum: 128 * 1024 * 1024, unit: "bytes" }), {
    name: "MAX_BODY_BYTES",
    default: String(1024 * 1024),
    reason: "Larger bodies are answered 413 before they are read to the end."
  }),
  keys: apiKeys,
  rateLimit: apiRateLimit,
  requestTimeout: setting(Parser.seconds({ minimum: 1, maximum: 3600 }), {
    name: "API_REQUEST_TIMEOUT_SECONDS",
    default: "30",
    reason: "The longest that a client may take to send a request: slow ones would hold connections for ever."
  }),
  publishTimeout: setting(Parser.seconds({ minimum: 0.1, maximum: 600 }), {
    name: "API_PUBLISH_TIMEOUT_SECONDS",
    default: "5",
    reason: "The longest wait for the broker's confirm, and for the database; then the answer is 503."
  }),
  paymentTimeout: setting(Parser.seconds({ minimum: 0.1, maximum: 600 }), {
    name: "API_PAYMENT_TIMEOUT_SECONDS",
    default: "20",
    reason:
      "Where payments are processed within the request: the longest that it waits for one. Then the answer is 202, and the payment goes on."
  }),
  keyRetention: setting(Parser.hours({ minimum: 0.001, maximum: 8760 }), {
    name: "IDEMPOTENCY_KEY_HOURS",
    default: "24",
    reason: "How long an Idempotency-Key keeps its answer."
  }),
  databaseConnections: setting(Parser.integer({ minimum: 1, maximum: 1000, unit: "connections" }), {
    name: "API_DATABASE_CONNECTIONS",
    default: "10",
    reason: "Connections for payments, requests with an Idempotency-Key and histories; more wait for each other."
  })
})
