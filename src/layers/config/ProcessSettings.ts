/** What the process as a whole is told: which job, with which broker and database, and how it ends. */
import { type Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, refine, setting } from "./Setting.ts"

/** The brokers that there are, as `BROKER` names them. */
export type BrokerKind = "rabbitmq" | "kafka" | "embedded"

export interface ProcessSettings {
  /** Not checked here: the command line has the say, and knows the modes. */
  readonly mode: string | undefined
  readonly broker: BrokerKind
  readonly database: "postgres" | "embedded" | "none"
  readonly dataDirectory: string
  readonly migrateOnStart: boolean
  readonly shutdownTimeout: Duration.Duration
  /** Telemetry is exported where this is set. */
  readonly otlpEndpoint: string | undefined
  readonly serviceName: string | undefined
  /** By mode, where none is said for all of them. */
  readonly serviceNames: Readonly<Record<string, string | undefined>>
}

/** What a process of this mode is called. */
export const serviceNameOf = ({ serviceName, serviceNames }: ProcessSettings, mode: string): string =>
  serviceName ?? serviceNames[mode] ?? `paystream-${mode}`

export const broker = setting(
  Parser.oneOf<BrokerKind>({ rabbitmq: "rabbitmq", kafka: "kafka", embedded: "embedded" }),
  {
    name: "BROKER",
    default: "rabbitmq",
    reason: "Where messages come from. `kafka` has topics only; `embedded` is a queue on the embedded PostgreSQL."
  }
)

const databaseAsked = optional(
  Parser.oneOf<ProcessSettings["database"]>({ postgres: "postgres", embedded: "embedded", none: "none" }),
  {
    name: "DATABASE",
    default: "embedded with BROKER=embedded, unless DATABASE_URL or POSTGRES_HOST is set; else postgres",
    reason:
      "Where payments are stored; `embedded` is a PostgreSQL that this program starts, `none` is for topic workers that need none."
  }
)

/** Any of these says that there is a server to go to. */
const namesOfServer = ["DATABASE_URL", "DATABASE_URL_FILE", "POSTGRES_HOST"]

// The embedded broker has a PostgreSQL already: who names no other has no use for a second one.
export const database: Group<ProcessSettings["database"]> = refine(databaseAsked, (asked, environment) => {
  const kind = broker.read(environment)
  const isEmbedded = Result.isSuccess(kind) && kind.success === "embedded"
  const hasServer = namesOfServer.some((name) => environment.get(name) !== undefined)
  return Result.succeed(asked ?? (isEmbedded && !hasServer ? "embedded" : "postgres"))
})

export const shutdownTimeout = setting(Parser.seconds({ minimum: 1, maximum: 3600 }), {
  name: "SHUTDOWN_TIMEOUT_SECONDS",
  default: "30",
  reason: "The longest drain; keep it below what Docker or Kubernetes waits before it kills."
})

interface WithProcess {
  readonly process: ProcessSettings
}

/** For whoever cannot do without a database; `who` is how the user asks for it. */
export const withDatabaseFor = <A extends WithProcess>(who: string, group: Group<A>): Group<A> =>
  refine(group, (value) =>
    value.process.database === "none"
      ? Result.fail([{ name: "DATABASE", got: '"none"', takes: `postgres or embedded for ${who}` }])
      : Result.succeed(value)
  )

/** For a mode that cannot do without a database. */
export const withDatabase = <A extends WithProcess>(mode: string, group: Group<A>): Group<A> =>
  withDatabaseFor(`--mode=${mode}`, group)

/** For a mode that works with queues, which Kafka has none of. */
export const withQueues = <A extends WithProcess>(mode: string, group: Group<A>): Group<A> =>
  refine(group, (value) =>
    value.process.broker === "kafka"
      ? Result.fail([
          { name: "BROKER", got: '"kafka"', takes: `rabbitmq or embedded with --mode=${mode}: Kafka has no queues` }
        ])
      : Result.succeed(value)
  )

const namedAs = (name: string, mode: string) =>
  optional(Parser.text, {
    name,
    default: `paystream-${mode}`,
    reason: `How a process with \`--mode=${mode}\` is called in logs and telemetry; OTEL_SERVICE_NAME wins.`
  })

export const processSettings: Group<ProcessSettings> = all({
  mode: optional(Parser.text, {
    name: "MODE",
    default: "",
    reason: "The job to do, as `--mode` says it; the flag wins."
  }),
  broker,
  database,
  dataDirectory: setting(Parser.text, {
    name: "PAYSTREAM_DATA",
    default: ".paystream",
    reason: "Folder of the embedded PostgreSQL; its data survives there between runs."
  }),
  migrateOnStart: setting(Parser.flag, {
    name: "MIGRATE_ON_START",
    default: "true",
    reason: "`false` is for roles that may not change tables: a missing migration is then named, and nothing starts."
  }),
  shutdownTimeout,
  otlpEndpoint: optional(Parser.webAddress, {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    default: "nothing is sent",
    reason: "Sends traces and metrics to this OpenTelemetry collector."
  }),
  serviceName: optional(Parser.text, {
    name: "OTEL_SERVICE_NAME",
    default: "paystream-<mode>",
    reason: "How this process is called in logs and telemetry, whatever its mode."
  }),
  serviceNames: all({
    api: namedAs("SERVICE_NAME_API", "api"),
    consumers: namedAs("SERVICE_NAME_CONSUMER", "consumers"),
    scheduler: namedAs("SERVICE_NAME_WORKER", "scheduler")
  })
})
