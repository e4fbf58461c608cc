/** What a PostgreSQL error means for us: whose fault it is, and whether trying again can help. */
import { Option, Predicate } from "effect"
import type { Migrator, SqlError } from "effect/sql"
import { StoreAway, StoreError, StoreRefused } from "../../domain/StoreError.ts"
import { tlsFailure } from "../../domain/TlsFailure.ts"

const textField = (value: unknown, field: string): string | undefined => {
  if (!Predicate.hasProperty(value, field)) return undefined
  const text = value[field]
  return typeof text === "string" ? text : undefined
}

/** The five characters that PostgreSQL gives an error, if it came from the server. */
export const sqlStateOf = (error: SqlError.SqlError): string | undefined => textField(error.reason.cause, "code")

/** The constraint that a statement violates, if it does. */
export const constraintOf = (error: SqlError.SqlError): string | undefined =>
  textField(error.reason.cause, "constraint")

/** The server's own text, which may quote what was stored: for a dead letter's header, never for a log. */
export const serverText = (error: SqlError.SqlError): string =>
  [textField(error.reason.cause, "message") ?? error.message, textField(error.reason.cause, "detail")]
    .filter(Predicate.isNotUndefined)
    .join(": ")

/**
 * Whether a row can be at fault: data that no type takes (class 22), too large or too deep (54000, 54001), or a
 * constraint of the table (class 23). Everything else is the database's trouble.
 * Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export const blamesRow = (sqlState: string | undefined): boolean =>
  sqlState !== undefined && (/^2[23]/.test(sqlState) || sqlState === "54000" || sqlState === "54001")

/** A serialization failure or a deadlock: the same statement succeeds when it is tried again. */
export const isContention = (error: SqlError.SqlError): boolean =>
  error.reason._tag === "DeadlockError" || error.reason._tag === "SerializationError"

// 28: credentials; 3D000: no such database; 42704: no such role.
const isRefusal = (sqlState: string | undefined): boolean =>
  sqlState !== undefined && (sqlState.startsWith("28") || sqlState === "3D000")

// Node and Bun put the system's code (ECONNREFUSED, ENOTFOUND, …) somewhere down the chain of causes.
const systemCode = (cause: unknown, depth = 0): Option.Option<string> => {
  const code = textField(cause, "code")
  if (code !== undefined) return Option.some(code)
  return depth < 5 && Predicate.hasProperty(cause, "cause") ? systemCode(cause.cause, depth + 1) : Option.none()
}

/** Our error for the database's; says SQLSTATE and address, never what the server said of the data. */
export const toStoreError =
  (address: string) =>
  (error: SqlError.SqlError): StoreError => {
    const sqlState = sqlStateOf(error)
    const code = Option.getOrElse(systemCode(error.reason), () => error.reason._tag)
    const refused = (detail: string) =>
      new StoreError({ reason: new StoreRefused({ detail: `PostgreSQL at ${address}: ${detail}` }) })
    if (isRefusal(sqlState) || error.reason._tag === "AuthenticationError") {
      const what = refusals[sqlState ?? ""] ?? "the credentials are refused"
      return refused(`${what} (${code}); check DATABASE_URL, or POSTGRES_DB, POSTGRES_USER and POSTGRES_PASS`)
    }
    const failure = refusesTls(error) ? "it does not speak TLS" : tlsFailure(code)
    if (failure !== undefined) return refused(`${failure}; check DATABASE_URL: its host, sslmode and sslrootcert`)
    const what = explained[code] === undefined ? code : `${explained[code]} (${code})`
    return new StoreError({ reason: new StoreAway({ detail: `PostgreSQL at ${address}: ${what}`, code }) })
  }

const refusals: Readonly<Record<string, string>> = {
  "3D000": "the database does not exist",
  "28000": "the credentials are refused, from here or without TLS (sslmode)"
}

// All that the client says of an answer that has no code.
const refusesTls = ({ reason }: SqlError.SqlError): boolean => /Server refused TLS/.test(reason.message ?? "")

/** Codes that say little to whoever has to mend it. */
const explained: Readonly<Record<string, string>> = {
  "42501": "this role lacks a right that it needs",
  "42P01": "a table is not there; --mode=migrate makes it"
}

/** The same where a row can be at fault: what cannot be stored is refused, and is no better when it is tried again. */
export const toRowError =
  (address: string, what: string) =>
  (error: SqlError.SqlError): StoreError => {
    const sqlState = sqlStateOf(error)
    if (!blamesRow(sqlState)) return toStoreError(address)(error)
    const detail = `PostgreSQL at ${address}: ${what} cannot be stored (${sqlState})`
    return new StoreError({ reason: new StoreRefused({ detail }) })
  }

/** The same for an error of a migration, which wraps the database's. */
export const asStoreError =
  (address: string) =>
  (error: SqlError.SqlError | Migrator.MigrationError): StoreError => {
    const refused = (detail: string) =>
      new StoreError({ reason: new StoreRefused({ detail: `PostgreSQL at ${address}: ${detail}` }) })
    const cause = error._tag === "SqlError" ? error : error.cause
    if (!isSqlError(cause)) return refused(error.message)
    return sqlStateOf(cause) === "42501"
      ? refused("this role may not create tables (42501); run --mode=migrate with one that may")
      : toStoreError(address)(cause)
  }

const isSqlError = (value: unknown): value is SqlError.SqlError => Predicate.isTagged(value, "SqlError")
