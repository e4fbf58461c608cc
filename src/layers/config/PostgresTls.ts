/** The TLS of a connection to PostgreSQL, from the parameters of its address, in libpq's meaning of them. */
import { Redacted, Result } from "effect"
import type { Environment } from "./Environment.ts"

/** Spread into the options of the client. */
export interface PostgresTls {
  readonly ssl?: boolean | TlsOptions
  readonly url?: Redacted.Redacted
}

export interface TlsOptions {
  readonly rejectUnauthorized: boolean
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly checkServerIdentity?: () => undefined
}

const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const
type Mode = (typeof modes)[number]

/** What JDBC and SQLAlchemy call it. */
const synonyms: Readonly<Record<string, Mode>> = { true: "require", false: "disable" }

const fileParameters = { ca: "sslrootcert", cert: "sslcert", key: "sslkey" } as const
type Files = Partial<Record<keyof typeof fileParameters, string>>

type Parameters = ReadonlyMap<string, string>
type Outcome<A> = Result.Result<A, string>

const modeOf = (parameters: Parameters): Outcome<Mode | undefined> => {
  const text = parameters.get("sslmode") ?? parameters.get("ssl")
  if (text === undefined) return Result.succeed(undefined)
  const mode = modes.find((mode) => mode === text) ?? synonyms[text]
  return mode === undefined ? Result.fail(`its sslmode is not one of ${modes.join(", ")}`) : Result.succeed(mode)
}

/** `sslrootcert=system` is the platform's own list. */
const filesOf = (parameters: Parameters, readFile: Environment["readFile"]): Outcome<Files> => {
  const named = Object.entries(fileParameters).flatMap(([field, name]) => {
    const path = parameters.get(name)
    return path === undefined || path === "system" ? [] : [{ field, name, path }]
  })
  const texts = named.map(({ field, name, path }) =>
    readFile(path).pipe(
      Result.map((text) => [field, text] as const),
      Result.mapError((code) => `the file of its ${name} cannot be read: ${code}`)
    )
  )
  return Result.map(Result.all(texts), (entries) => Object.fromEntries(entries))
}

const verified = (mode: Mode, files: Files): Outcome<PostgresTls> => {
  if ((files.cert === undefined) !== (files.key === undefined)) return Result.fail("sslcert and sslkey go together")
  if (mode === "verify-full") return Result.succeed({ ssl: { rejectUnauthorized: true, ...files } })
  // Both ask for the right authority, not for the right host; `require` without an authority only for encryption.
  if (files.ca !== undefined) {
    return Result.succeed({ ssl: { rejectUnauthorized: true, ...files, checkServerIdentity: () => undefined } })
  }
  if (mode === "require") return Result.succeed({ ssl: { rejectUnauthorized: false, ...files } })
  return Result.fail("verify-ca needs an sslrootcert: any public authority vouches for anybody's host")
}

/**
 * No `sslmode` is no TLS. `allow` and `prefer` use TLS where the server offers it and then do check its certificate
 * (libpq does not): the client knows this mode by an address alone.
 */
export const postgresTls = (parameters: Parameters, readFile: Environment["readFile"]): Outcome<PostgresTls> =>
  Result.gen(function* () {
    const mode = yield* modeOf(parameters)
    const files = yield* filesOf(parameters, readFile)
    if (mode === "require" || mode === "verify-ca" || mode === "verify-full") return yield* verified(mode, files)
    if (Object.keys(files).length > 0)
      return yield* Result.fail("certificates need sslmode=require, verify-ca or verify-full")
    if (mode === undefined || mode === "disable") return { ssl: false }
    return { url: Redacted.make("postgres:///?sslmode=prefer") }
  })
