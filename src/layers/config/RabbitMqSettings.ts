/** Where RabbitMQ is, and how a queue that is missing is made. */
import { Redacted, Result } from "effect"
import { type Certificates, certificates } from "./Certificates.ts"
import { type ConnectionUrl, connectionUrl } from "./ConnectionUrl.ts"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, type Reading, refine, setting, whereSet } from "./Setting.ts"

export interface RabbitMqSettings {
  /** Complete and percent-encoded, with credentials and virtual host. */
  readonly url: Redacted.Redacted
  /** The same as amqplib takes it in parts: the only form in which it gets credentials outside ASCII right. */
  readonly connection: Redacted.Redacted<RabbitMqConnectionParts>
  /** For TLS; `undefined` is what the runtime knows. */
  readonly certificates: Redacted.Redacted<Certificates> | undefined
  /** Host, port and virtual host: for logs and errors. */
  readonly address: string
  /** "classic" is declared without arguments. */
  readonly queueType: "classic" | "quorum"
  /** The topic exchange. */
  readonly exchange: string
}

export interface RabbitMqConnectionParts {
  readonly protocol: "amqp" | "amqps"
  readonly hostname: string
  readonly port: number
  readonly username: string
  readonly password: string
  /** Percent-encoded: amqplib decodes it. */
  readonly vhost: string
  readonly heartbeat?: number
  readonly frameMax?: number
  readonly channelMax?: number
}

const form = "amqp:// or amqps://user:password@host:port/vhost"

const url = optional(connectionUrl(/^amqps?$/i, form), {
  name: "RABBITMQ_URL",
  default: "",
  reason: "The whole address, virtual host included, or amqps:// for TLS. Wins over the four parts.",
  secret: true
})

const parts = all({
  hostname: setting(Parser.host, { name: "RABBITMQ_HOST", default: "localhost", reason: "Where the broker is." }),
  port: setting(Parser.port, { name: "RABBITMQ_PORT", default: "5672", reason: "The broker's AMQP port." }),
  username: setting(Parser.text, { name: "RABBITMQ_USER", default: "guest", reason: "Who logs in at the broker." }),
  password: setting(Parser.secret, {
    name: "RABBITMQ_PASS",
    default: "guest",
    reason: "The password of that user.",
    secret: true
  })
})

const queueType = setting(Parser.oneOf({ classic: "classic", quorum: "quorum" }), {
  name: "QUEUE_TYPE",
  default: "classic",
  reason: "How a missing queue is declared; one that exists is used as it is. Replicated queues are `quorum`."
})

const exchange = setting(Parser.queueName, {
  name: "RABBITMQ_EXCHANGE",
  default: "pix",
  reason: "The topic exchange of topic workers; made, durable, where it is missing."
})

const limits = ["heartbeat", "frameMax", "channelMax"] as const

/** Wanted as whole numbers: anything else in these parameters of the address is left out, as amqplib does. */
const limitsOf = (parameters: ReadonlyMap<string, string>) =>
  Object.fromEntries(
    limits.flatMap((name) => {
      const text = parameters.get(name)
      return text !== undefined && /^\d{1,9}$/.test(text) ? [[name, Number(text)]] : []
    })
  )

const connectionFromUrl = (url: ConnectionUrl): Reading<RabbitMqConnectionParts> => {
  if (url.host === undefined || url.host.startsWith("/")) {
    return Result.fail([{ name: "RABBITMQ_URL", got: "a secret value", takes: `${form} (it has no host)` }])
  }
  const protocol = url.scheme === "amqps" ? "amqps" : "amqp"
  const { username = "guest", password = Redacted.make(url.username === undefined ? "guest" : "") } = url
  return Result.succeed({
    protocol,
    hostname: url.host,
    port: url.port ?? (protocol === "amqps" ? 5671 : 5672),
    username,
    password: Redacted.value(password),
    vhost: encodeURIComponent(url.path || "/"),
    ...limitsOf(url.parameters)
  })
}

const connectionFromParts: Group<RabbitMqConnectionParts> = refine(parts, ({ password, ...rest }) =>
  Result.succeed({ ...rest, protocol: "amqp", password: Redacted.value(password), vhost: "%2F" })
)

const inBrackets = (host: string): string => (host.includes(":") ? `[${host}]` : host)

const urlOf = (connection: RabbitMqConnectionParts): string => {
  const { protocol, hostname, port, username, password, vhost } = connection
  const query = limits
    .flatMap((name) => (connection[name] === undefined ? [] : [`${name}=${connection[name]}`]))
    .join("&")
  const credentials = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`
  const base = `${protocol}://${credentials}@${inBrackets(hostname)}:${port}/${vhost}`
  return query === "" ? base : `${base}?${query}`
}

const addressOf = ({ hostname, port, vhost }: RabbitMqConnectionParts): string =>
  `${inBrackets(hostname)}:${port}${vhost === "%2F" ? "/" : `/${decodeURIComponent(vhost)}`}`

const connection = whereSet(url, connectionFromUrl, connectionFromParts)

/** `RABBITMQ_URL`, or the four parts; who is trusted over TLS; `QUEUE_TYPE` and `RABBITMQ_EXCHANGE`. */
export const rabbitMqSettings: Group<RabbitMqSettings> = refine(
  all({ connection, certificates: certificates("RABBITMQ_SSL"), queueType, exchange }),
  ({ connection, ...rest }) =>
    connection.protocol === "amqp" && rest.certificates !== undefined
      ? Result.fail([{ name: "RABBITMQ_URL", got: "no TLS", takes: "an amqps:// address, since certificates are set" }])
      : Result.succeed({
          url: Redacted.make(urlOf(connection)),
          connection: Redacted.make(connection),
          address: addressOf(connection),
          ...rest
        })
)
