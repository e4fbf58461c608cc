/**
 * Who we are at the API server.
 *
 * ## Guarantees
 * - A token that lies in a file is read again when it is older than a minute, and when it was refused. While the file
 *   cannot be read, the last one is used.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Clock, Duration, Effect, Redacted, Result } from "effect"
import { type KubernetesAccess, SettingsError } from "../config/Settings.ts"
import { currentIdentity, type Given, type Identity, type KubeconfigFile } from "./Kubeconfig.ts"

/** To be spread into the options of a request. */
export interface Tls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
  readonly rejectUnauthorized: boolean
}

export interface Credentials {
  readonly server: URL
  readonly tls: Redacted.Redacted<Tls>
  /** What to send, if anything. */
  readonly token: Effect.Effect<Redacted.Redacted | undefined>
  /** The token was refused: the next one is read from its file. */
  readonly forgetToken: Effect.Effect<void>
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "unreadable"

const textOf = (path: string): Effect.Effect<string, string> =>
  Effect.tryPromise({ try: () => readFile(path, "utf8"), catch: codeOf })

/** What is wrong with the variable that named it. */
interface Unusable {
  readonly got: string
  readonly takes: string
}

/** Reads them; what cannot be read is a problem of the configuration. */
export const load = (access: KubernetesAccess): Effect.Effect<Credentials, SettingsError> =>
  Effect.gen(function* () {
    const identity = access._tag === "Kubeconfig" ? yield* ofKubeconfig(access.paths) : ofServiceAccount(access)
    const tls = yield* tlsOf(identity)
    return { server: identity.server, tls: Redacted.make(tls), ...(yield* tokenOf(identity.token)) }
  }).pipe(
    Effect.mapError((unusable) => {
      const name = access._tag === "Kubeconfig" ? "KUBECONFIG" : "KUBERNETES_SERVICE_HOST"
      return new SettingsError({ problems: [{ name, ...unusable }] })
    })
  )

const ofServiceAccount = (access: Extract<KubernetesAccess, { _tag: "ServiceAccount" }>): Identity => ({
  server: new URL(`https://${access.host.includes(":") ? `[${access.host}]` : access.host}:${access.port}`),
  authority: { _tag: "File", path: join(access.folder, "ca.crt") },
  token: { _tag: "File", path: join(access.folder, "token") },
  certificate: undefined,
  key: undefined,
  serverName: undefined,
  trustsAnybody: false
})

const takesFile = "the file of a cluster's configuration that kubectl could use"

/** As kubectl does, of several files one that is missing is left out. */
const ofKubeconfig = (paths: ReadonlyArray<string>): Effect.Effect<Identity, Unusable> =>
  Effect.gen(function* () {
    const [files, missing] = yield* Effect.partition(
      paths,
      (path): Effect.Effect<KubeconfigFile, string> =>
        Effect.mapBoth(textOf(path), {
          onSuccess: (contents) => ({ path, contents }),
          onFailure: (code) => `${path} (${code})`
        })
    )
    if (files.length === 0) return yield* Effect.fail({ got: missing.join(", "), takes: takesFile })
    return yield* Result.match(currentIdentity(files), {
      onSuccess: Effect.succeed,
      onFailure: (why) => Effect.fail({ got: `${files.map(({ path }) => path).join(":")}: ${why}`, takes: takesFile })
    })
  })

const textIn = (given: Given | undefined): Effect.Effect<string | undefined, Unusable> => {
  if (given === undefined) return Effect.undefined
  if (given._tag === "Value") return Effect.succeed(Redacted.value(given.value))
  return Effect.mapError(textOf(given.path), (code) => ({
    got: `${given.path} (${code})`,
    takes: "a certificate, key or token that can be read"
  }))
}

const tlsOf = (identity: Identity): Effect.Effect<Tls, Unusable> =>
  Effect.gen(function* () {
    const [ca, cert, key] = yield* Effect.all([
      textIn(identity.authority),
      textIn(identity.certificate),
      textIn(identity.key)
    ])
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(identity.serverName === undefined ? {} : { servername: identity.serverName }),
      rejectUnauthorized: !identity.trustsAnybody
    }
  })

const oneMinute = Duration.toMillis("1 minute")

const tokenOf = (given: Given | undefined): Effect.Effect<Pick<Credentials, "token" | "forgetToken">, Unusable> => {
  if (given?._tag !== "File") return Effect.succeed({ token: Effect.succeed(given?.value), forgetToken: Effect.void })
  return Effect.map(Effect.all([textIn(given), Clock.currentTimeMillis]), ([text = "", now]) => {
    const kept = { token: Redacted.make(text.trim()), readAt: now }
    const readAgain = (millis: number) =>
      Effect.match(textOf(given.path), {
        onSuccess: (found) => {
          kept.token = Redacted.make(found.trim())
          kept.readAt = millis
          return kept.token
        },
        onFailure: () => kept.token
      })
    return {
      token: Effect.flatMap(Clock.currentTimeMillis, (millis) =>
        millis - kept.readAt < oneMinute ? Effect.succeed(kept.token) : readAgain(millis)
      ),
      forgetToken: Effect.sync(() => {
        kept.readAt = Number.NEGATIVE_INFINITY
      })
    }
  })
}
