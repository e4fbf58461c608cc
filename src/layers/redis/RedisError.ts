/** What an error of Redis means for us: whose fault it is, and whether trying again can help. */
import { Predicate } from "effect"
import { StoreAway, StoreError, StoreRefused } from "../../domain/StoreError.ts"

const textField = (value: unknown, field: string): string | undefined => {
  if (!Predicate.hasProperty(value, field)) return undefined
  const text = value[field]
  return typeof text === "string" && text !== "" ? text : undefined
}

// A reply of Redis begins with its code; an error of the system has one as a field. The rest may quote what was sent.
const codeOf = (error: unknown): string =>
  textField(error, "code") ?? /^[A-Z]{2,}\b/.exec(textField(error, "message") ?? "")?.[0] ?? errorName(error)

const errorName = (error: unknown): string => (error instanceof Error ? error.constructor.name : "an unknown error")

/** Credentials, rights, a database that there is not, and a Redis before 6. */
const refusal = /^(WRONGPASS|NOAUTH|NOPERM|NOPROTO|ERR (.* AUTH|AUTH|invalid password|DB index|unknown command))/i

/** Our error for one of Redis; says code and address, never what was sent. */
export const toStoreError =
  (address: string) =>
  (error: unknown): StoreError => {
    const code = codeOf(error)
    if (!refusal.test(textField(error, "message") ?? "")) return away(address, code, code)
    const detail = `Redis at ${address} refuses us (${code}): check user, password, rights and database in REDIS_URL`
    return new StoreError({ reason: new StoreRefused({ detail }) })
  }

/** It is away, and so it is. */
export const away = (address: string, what: string, code: string): StoreError =>
  new StoreError({ reason: new StoreAway({ detail: `Redis at ${address}: ${what}`, code }) })
