/** Where Kafka is, who we are there, and how topics are made. */
import { type Duration, Redacted, Result } from "effect"
import { type Certificates, certificates } from "./Certificates.ts"
import * as Parser from "./Parser.ts"
import type { Problem } from "./Problem.ts"
import { all, type Group, optional, type Reading, refine, setting } from "./Setting.ts"

export interface KafkaSettings {
  /** To be given to the client of kafkajs as it is. */
  readonly client: Redacted.Redacted<KafkaClientSettings>
  /** The brokers: for logs and errors. */
  readonly address: string
  readonly partitions: number
  /** `undefined`: the brokers' own default. */
  readonly replication: number | undefined
  readonly sessionTimeout: Duration.Duration
  readonly handlingTimeout: Duration.Duration
}

export interface KafkaClientSettings {
  readonly brokers: Array<string>
  readonly clientId: string
  readonly ssl: boolean | Certificates
  readonly sasl?: KafkaSasl<"plain"> | KafkaSasl<"scram-sha-256"> | KafkaSasl<"scram-sha-512">
}

interface KafkaSasl<out Mechanism> {
  readonly mechanism: Mechanism
  readonly username: string
  readonly password: string
}

const form = "host:port, or several of them with commas between"

const isBroker = (text: string): boolean => {
  const [, host = "", port = ""] = /^(.+):(\d+)$/.exec(text) ?? []
  return Parser.isHost(host.replace(/^\[(.*)\]$/, "$1")) && Result.isSuccess(Parser.port.parse(port))
}

const brokerList: Parser.Parser<Array<string>> = {
  takes: form,
  parse: (text) => {
    const brokers = text.split(",").map((one) => one.trim())
    return brokers.every(isBroker) ? Result.succeed(brokers) : Result.fail(form)
  }
}

const asked = all({
  brokers: setting(brokerList, {
    name: "KAFKA_BROKERS",
    default: "localhost:9092",
    reason: "Some of the brokers; the others are learnt from them."
  }),
  clientId: setting(Parser.text, {
    name: "KAFKA_CLIENT_ID",
    default: "paystream",
    reason: "How this program is called in the brokers' logs, metrics and quotas."
  }),
  mechanism: optional(
    Parser.oneOf({ plain: "plain", "scram-sha-256": "scram-sha-256", "scram-sha-512": "scram-sha-512" }),
    {
      name: "KAFKA_SASL_MECHANISM",
      default: "nobody logs in",
      reason: "How to log in; with KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD."
    }
  ),
  username: optional(Parser.text, { name: "KAFKA_SASL_USERNAME", default: "", reason: "Who logs in at the brokers." }),
  password: optional(Parser.secret, {
    name: "KAFKA_SASL_PASSWORD",
    default: "",
    reason: "The password of that user.",
    secret: true
  }),
  ssl: optional(Parser.flag, {
    name: "KAFKA_SSL",
    default: "true where a KAFKA_SSL_… is set, else false",
    reason: "Whether to speak TLS; the brokers' certificates are checked."
  }),
  certificates: certificates("KAFKA_SSL"),
  partitions: setting(Parser.integer({ minimum: 1, maximum: 10_000 }), {
    name: "KAFKA_PARTITIONS",
    default: "6",
    reason: "Of topics that `--mode=migrate` makes: so many processes can share a group's work."
  }),
  replication: optional(Parser.integer({ minimum: 1, maximum: 100 }), {
    name: "KAFKA_REPLICATION",
    default: "what the brokers hold right",
    reason: "Copies of each partition of topics that `--mode=migrate` makes; 3 survive the loss of a broker."
  }),
  sessionTimeout: setting(Parser.seconds({ minimum: 1, maximum: 1_800 }), {
    name: "KAFKA_SESSION_TIMEOUT_SECONDS",
    default: "30",
    reason:
      "A process that the brokers do not hear of for so long has its partitions taken. Slow handlers do not matter."
  }),
  handlingTimeout: setting(Parser.seconds({ minimum: 1, maximum: 604_800 }), {
    name: "KAFKA_HANDLING_TIMEOUT_SECONDS",
    default: "1800",
    reason: "A message in hand for so long is stuck: its worker is started again. The same 30 minutes as RabbitMQ's."
  })
})

type Values = typeof asked extends Group<infer A> ? A : never

const notSet = "nothing"

const saslProblems = ({ mechanism, password, username }: Values): ReadonlyArray<Problem> => {
  const mechanisms = "plain, scram-sha-256 or scram-sha-512, since a user or password is set"
  if (mechanism === undefined) {
    const isAsked = username !== undefined || password !== undefined
    return isAsked ? [{ name: "KAFKA_SASL_MECHANISM", got: notSet, takes: mechanisms }] : []
  }
  return [
    ...(username === undefined
      ? [{ name: "KAFKA_SASL_USERNAME", got: notSet, takes: `a name, for ${mechanism}` }]
      : []),
    ...(password === undefined
      ? [{ name: "KAFKA_SASL_PASSWORD", got: notSet, takes: `a password, for ${mechanism}` }]
      : [])
  ]
}

const tlsProblems = ({ certificates, ssl }: Values): ReadonlyArray<Problem> =>
  ssl === false && certificates !== undefined
    ? [{ name: "KAFKA_SSL", got: '"false"', takes: "true, since certificates are set" }]
    : []

const tlsOf = ({ certificates, ssl }: Values): KafkaClientSettings["ssl"] =>
  certificates === undefined ? (ssl ?? false) : Redacted.value(certificates)

const finish = (values: Values): Reading<KafkaSettings> => {
  const problems = [...saslProblems(values), ...tlsProblems(values)]
  if (problems.length > 0) return Result.fail(problems)
  const { brokers, clientId, mechanism, password, username } = values
  const { handlingTimeout, partitions, replication, sessionTimeout } = values
  const sasl =
    mechanism === undefined || username === undefined || password === undefined
      ? {}
      : {
          sasl: { mechanism, username, password: Redacted.value(password) } as NonNullable<KafkaClientSettings["sasl"]>
        }
  return Result.succeed({
    client: Redacted.make({ brokers, clientId, ssl: tlsOf(values), ...sasl }),
    address: brokers.join(","),
    partitions,
    replication,
    sessionTimeout,
    handlingTimeout
  })
}

/** `KAFKA_BROKERS` and who we are there; `KAFKA_PARTITIONS` and `KAFKA_REPLICATION` of topics that are made. */
export const kafkaSettings: Group<KafkaSettings> = refine(asked, finish)
