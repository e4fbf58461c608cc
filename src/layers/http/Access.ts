/** Who may use the API, and how often. */
import { createHash, timingSafeEqual } from "node:crypto"
import { Context, Effect, Layer, Redacted } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import type { ApiSettings } from "../config/Settings.ts"
import * as Problems from "./Problems.ts"
import * as RateLimit from "./RateLimit.ts"

/** Who asks: a name that follows from the key and does not give it away. */
export class Client extends Context.Service<Client, { readonly name: string }>()("paystream/layers/http/Client") {}

/**
 * Asks for an API key, where keys are set, and counts.
 *
 * @effect-expect-leaking HttpServerRequest | ParsedSearchParams | RouteContext
 */
export class Access extends HttpApiMiddleware.Service<Access, { provides: Client }>()("paystream/layers/http/Access", {
  error: [Problems.Unauthorized, Problems.TooManyRequests],
  security: { bearer: HttpApiSecurity.bearer, apiKey: HttpApiSecurity.apiKey({ key: "X-API-Key", in: "header" }) }
}) {}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest()

/** Whose key a text is, if it is one of these: a name that follows from the key and does not give it away. */
export const keyring = (keys: ReadonlyArray<Redacted.Redacted>) => {
  const known = keys.map((key) => {
    const own = digest(Redacted.value(key))
    return { name: own.toString("hex").slice(0, 16), digest: own }
  })
  /** Looks at every key, and compares digests, so that the time it takes tells nothing. */
  return (given: string): { readonly name: string } | undefined => {
    const asked = digest(given)
    return known.reduce<{ readonly name: string } | undefined>(
      (found, key) => (timingSafeEqual(key.digest, asked) ? { name: key.name } : found),
      undefined
    )
  }
}

const anybody = { name: "anybody" }

type Response = HttpServerResponse.HttpServerResponse

/** Lets requests in. */
export interface Gate {
  /** Serves whoever gives one of the keys, among these texts, as often as they may ask. */
  readonly admit: <E, R>(
    given: ReadonlyArray<string>,
    serve: (client: Client["Service"]) => Effect.Effect<Response, E, R>
  ) => Effect.Effect<Response, E | Problems.Unauthorized, R>
}

/** For all that a process serves: it counts in this process. */
export const gate = Effect.fnUntraced(function* ({
  keys,
  rateLimit
}: Pick<ApiSettings, "keys" | "rateLimit">): Effect.fn.Return<Gate> {
  const find = keyring(keys)
  const waitOf = yield* RateLimit.make(rateLimit)
  const excess = { detail: RateLimit.excess(rateLimit) }
  const clientOf = (given: ReadonlyArray<string>) =>
    keys.length === 0 ? anybody : given.map(find).find((client) => client !== undefined)
  return {
    admit: (given, serve) => {
      const client = clientOf(given)
      if (client === undefined) return Effect.fail(new Problems.Unauthorized())
      return Effect.flatMapEager(waitOf(client), (waitSeconds) =>
        waitSeconds === 0
          ? serve(client)
          : Problems.toResponse(new Problems.TooManyRequests(excess), { "retry-after": String(waitSeconds) })
      )
    }
  }
})

const bearer = /^bearer +(.+)$/i

/** The keys that a request gives, wherever `Access` looks for them. */
export const keysIn = (headers: HttpServerRequest.HttpServerRequest["headers"]): ReadonlyArray<string> =>
  [bearer.exec(headers.authorization ?? "")?.[1], headers["x-api-key"]].filter((key) => key !== undefined)

/** Through a gate. */
export const layer = ({ admit }: Gate): Layer.Layer<Access> => {
  const check: Access["Service"]["bearer"] = (handler, { credential }) =>
    admit([Redacted.value(credential)], (client) => Effect.provideService(handler, Client, client))
  return Layer.succeed(Access, { bearer: check, apiKey: check })
}
