/** Where PostgreSQL is. */
import { Redacted, Result } from "effect"
import { type ConnectionUrl, connectionUrl, hostOf, portOf } from "./ConnectionUrl.ts"
import type { Environment } from "./Environment.ts"
import * as Parser from "./Parser.ts"
import { type PostgresTls, postgresTls } from "./PostgresTls.ts"
import { all, type Group, optional, type Reading, refine, setting, whereSet } from "./Setting.ts"

export interface PostgresSettings {
  /** To be spread into the options of the client. */
  readonly client: PostgresClientSettings
  /** Host, port and database: for logs and errors. */
  readonly address: string
}

export interface PostgresClientSettings extends PostgresTls {
  /** A name, an IP address, or the folder of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
  /** `undefined` where the address has none: the server may know the user by other means. */
  readonly password: Redacted.Redacted | undefined
  readonly applicationName: string
  readonly prepare: boolean
  readonly startupOptions?: string
  readonly startupParameters?: { readonly search_path: string }
}

const form = "postgres:// or postgresql://user:password@host:port/database"

const url = optional(connectionUrl(/^postgres(ql)?(\+[a-z0-9_]+)?$/i, form), {
  name: "DATABASE_URL",
  default: "",
  reason: "The whole address (`postgresql+asyncpg://` is fine), `sslmode` included. Wins over the five parts.",
  secret: true
})

const parts = all({
  host: setting(Parser.hostOrSocketFolder, {
    name: "POSTGRES_HOST",
    default: "localhost",
    reason: "Where the database is."
  }),
  port: setting(Parser.port, { name: "POSTGRES_PORT", default: "5432", reason: "The port that it listens at." }),
  database: setting(Parser.text, { name: "POSTGRES_DB", default: "payments_db", reason: "The name of the database." }),
  username: setting(Parser.text, {
    name: "POSTGRES_USER",
    default: "postgres",
    reason: "Who logs in at the database."
  }),
  password: setting(Parser.secret, {
    name: "POSTGRES_PASS",
    default: "postgres",
    reason: "The password of that user.",
    secret: true
  })
})

const prepare = setting(Parser.flag, {
  name: "POSTGRES_PREPARE",
  default: "true",
  reason: "`false` behind a pooler that loses prepared statements; nothing else of a session is relied on."
})

type Client = Omit<PostgresClientSettings, "prepare">

/** Parameters win over what stands before them, and the user's name is the database's, as in libpq. */
const clientOf = (url: ConnectionUrl, readFile: Environment["readFile"]): Result.Result<Client, string> =>
  Result.gen(function* () {
    const { parameters } = url
    const parameter = (name: string) => parameters.get(name) || undefined
    const host = parameter("host") === undefined ? url.host : yield* hostOf(parameters.get("host") ?? "")
    if (host === undefined) return yield* Result.fail("it has no host")
    const port = parameter("port") === undefined ? url.port : yield* portOf(parameters.get("port") ?? "")
    const username = (parameter("user") ?? url.username) || "postgres"
    const password = parameter("password")
    return {
      host,
      port: port ?? 5432,
      database: (parameter("dbname") ?? url.path) || username,
      username,
      password: password === undefined ? url.password : Redacted.make(password),
      applicationName: parameter("application_name") ?? "paystream",
      ...(yield* host.startsWith("/") ? Result.succeed({ ssl: false }) : postgresTls(parameters, readFile)),
      ...(parameters.has("options") ? { startupOptions: parameters.get("options") ?? "" } : {}),
      ...(parameters.has("search_path")
        ? { startupParameters: { search_path: parameters.get("search_path") ?? "" } }
        : {})
    }
  })

const fromUrl = (url: ConnectionUrl, { readFile }: Environment): Reading<Client> =>
  Result.mapError(clientOf(url, readFile), (flaw) => [
    { name: "DATABASE_URL", got: "a secret value", takes: `${form} (${flaw})` }
  ])

const fromParts: Group<Client> = refine(parts, (values) =>
  Result.succeed({ ...values, applicationName: "paystream", ssl: false })
)

const addressOf = ({ host, port, database }: Client): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}/${database}`

/** `DATABASE_URL`, or the five parts; and `POSTGRES_PREPARE`. */
export const postgresSettings: Group<PostgresSettings> = refine(
  all({ client: whereSet(url, fromUrl, fromParts), prepare }),
  ({ client, prepare }) => Result.succeed({ client: { ...client, prepare }, address: addressOf(client) })
)
