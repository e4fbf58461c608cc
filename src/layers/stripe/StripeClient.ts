/** Stripe's own library, told to leave retries to us and to say nothing of this machine. */
import { Duration, Predicate, Redacted } from "effect"
import Stripe from "stripe"
import { NothingSent } from "./StripeFailure.ts"

export interface StripeOptions {
  readonly key: Redacted.Redacted
  readonly base: { readonly protocol: "http" | "https"; readonly host: string; readonly port: number }
  /** For each request. */
  readonly timeout: Duration.Duration
}

/** There was no connection, so that no request went out. Node's codes, and Bun's names for them. */
const notConnected = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket"
])

const codeIn = (error: unknown, name: "code" | "cause"): unknown =>
  Predicate.hasProperty(error, name) ? error[name] : undefined

const codeOf = (error: unknown): string => String(codeIn(codeIn(error, "cause"), "code") ?? codeIn(error, "code") ?? "")

/**
 * `fetch` on both runtimes. The library sends a request again by itself when a connection was closed, however many
 * retries it is allowed; it knows that by the error's code, so it gets to see none.
 */
const send: typeof fetch = Object.assign(
  (input: Parameters<typeof fetch>[0], init?: RequestInit) =>
    fetch(input, init).catch((error: unknown) => {
      const code = codeOf(error)
      if (notConnected.has(code)) throw new NothingSent({ code })
      throw new Error("the connection broke")
    }),
  fetch
)

/** A client of the address that the settings name. */
export const make = ({ base, key, timeout }: StripeOptions): Stripe =>
  new Stripe(Redacted.value(key), {
    host: base.host,
    port: base.port,
    protocol: base.protocol,
    timeout: Duration.toMillis(timeout),
    maxNetworkRetries: 0,
    telemetry: false,
    httpClient: Stripe.createFetchHttpClient(send)
  })
