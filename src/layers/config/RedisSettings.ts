/** Where Redis is, for those who have one. */
import { type Redacted, Result } from "effect"
import { type ConnectionUrl, connectionUrl } from "./ConnectionUrl.ts"
import { type Group, optional, type Reading, refine } from "./Setting.ts"

export interface RedisSettings {
  readonly host: string
  readonly port: number
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  /** The number of its database. */
  readonly database: number
  /** Host, port and database: for logs and errors. */
  readonly address: string
}

const form = "redis:// or rediss://user:password@host:port/database"

const url = optional(connectionUrl(/^rediss?$/i, form), {
  name: "REDIS_URL",
  default: "idempotency keys in the database",
  reason: "Where idempotency keys are kept; rediss:// is TLS. What it loses is safe: PostgreSQL guards every payment.",
  secret: true
})

const databaseOf = (path: string | undefined): number | undefined =>
  /^(\d{1,4})?$/.test(path ?? "") ? Number(path ?? "") : undefined

const settingsOf = ({ host, parameters, password, path, port = 6379, scheme, username }: ConnectionUrl) => {
  const database = databaseOf(path)
  if (host === undefined || host.startsWith("/")) return Result.fail("it has no host")
  if (database === undefined) return Result.fail("its database is not a number")
  if (parameters.size > 0) return Result.fail("it takes no parameters")
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}/${database}`
  // `redis://:password@host` names no user
  return Result.succeed({
    host,
    port,
    tls: scheme === "rediss",
    username: username || undefined,
    password,
    database,
    address
  })
}

/** `REDIS_URL`; `undefined` where it is not set. */
export const redisSettings: Group<RedisSettings | undefined> = refine(
  url,
  (given): Reading<RedisSettings | undefined> =>
    given === undefined
      ? Result.succeed(undefined)
      : Result.mapError(settingsOf(given), (flaw) => [
          { name: "REDIS_URL", got: "a secret value", takes: `${form} (${flaw})` }
        ])
)
