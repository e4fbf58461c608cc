/** kubectl's configuration: where the cluster of the current context is, and who we are there. */
import { dirname, resolve } from "node:path"
import { Option, Redacted, Result, Schema } from "effect"
import { parse } from "effect/encoding/Yaml"

const text = Schema.optionalKey(Schema.NullOr(Schema.String))
const listOf = <S extends Schema.Top>(entry: S) => Schema.optionalKey(Schema.NullOr(Schema.Array(entry)))

const Cluster = Schema.Struct({
  server: Schema.String,
  "certificate-authority": text,
  "certificate-authority-data": text,
  "insecure-skip-tls-verify": Schema.optionalKey(Schema.Boolean),
  "tls-server-name": text,
  "proxy-url": text
})

const User = Schema.Struct({
  "client-certificate": text,
  "client-certificate-data": text,
  "client-key": text,
  "client-key-data": text,
  token: text,
  tokenFile: text,
  exec: Schema.optionalKey(Schema.Unknown),
  "auth-provider": Schema.optionalKey(Schema.Unknown),
  username: text
})

const Context = Schema.Struct({ cluster: Schema.String, user: Schema.String })

const Kubeconfig = Schema.Struct({
  "current-context": text,
  clusters: listOf(Schema.Struct({ name: Schema.String, cluster: Cluster })),
  users: listOf(Schema.Struct({ name: Schema.String, user: User })),
  contexts: listOf(Schema.Struct({ name: Schema.String, context: Context }))
})

const decode = Schema.decodeUnknownOption(Kubeconfig)

/** Something that is given in place, or as the path of a file. */
export type Given =
  | { readonly _tag: "Value"; readonly value: Redacted.Redacted }
  | { readonly _tag: "File"; readonly path: string }

/** What the current context says. */
export interface Identity {
  readonly server: URL
  readonly authority: Given | undefined
  readonly certificate: Given | undefined
  readonly key: Given | undefined
  readonly token: Given | undefined
  readonly serverName: string | undefined
  /** Whether anybody's certificate will do. */
  readonly trustsAnybody: boolean
}

/** A file of kubectl's configuration; its own paths are relative to it. */
export interface KubeconfigFile {
  readonly path: string
  readonly contents: string
}

type Outcome<A> = Result.Result<A, string>

/** Of several files the first that says something wins, as for kubectl. The failure says what is missing. */
export const currentIdentity = (files: ReadonlyArray<KubeconfigFile>): Outcome<Identity> =>
  Result.gen(function* () {
    const configurations = yield* Result.all(files.map(read))
    const current = configurations.map((one) => one["current-context"]).find((name) => name)
    if (current === undefined || current === null) return yield* Result.fail("it has no current-context")
    const { context } = yield* named(
      "context",
      current,
      configurations.flatMap((one) => one.contexts ?? [])
    )
    const { cluster } = yield* named(
      "cluster",
      context.cluster,
      configurations.flatMap((one) => one.clusters ?? [])
    )
    const { user } = yield* named(
      "user",
      context.user,
      configurations.flatMap((one) => one.users ?? [])
    )
    if (cluster["proxy-url"]) return yield* Result.fail(`a proxy-url (cluster ${context.cluster}) is not supported`)
    if (user.exec !== undefined || user["auth-provider"] !== undefined || user.username)
      return yield* Result.fail(
        `user ${context.user} logs in by exec, auth-provider or password: give a certificate, a token or a tokenFile`
      )
    return {
      server: yield* serverOf(cluster.server),
      authority: given(cluster["certificate-authority-data"], cluster["certificate-authority"]),
      certificate: given(user["client-certificate-data"], user["client-certificate"]),
      key: given(user["client-key-data"], user["client-key"]),
      token: user.tokenFile ? { _tag: "File", path: user.tokenFile } : plain(user.token),
      serverName: cluster["tls-server-name"] ?? undefined,
      trustsAnybody: cluster["insecure-skip-tls-verify"] ?? false
    }
  })

const read = ({ contents, path }: KubeconfigFile): Outcome<typeof Kubeconfig.Type> =>
  Result.try({ try: () => parse(contents), catch: () => "it is not YAML" }).pipe(
    Result.map((value) => withPaths(value, dirname(path))),
    Result.flatMap((value) =>
      Option.match(decode(value), {
        onNone: () => Result.fail("it is not a kubeconfig"),
        onSome: Result.succeed
      })
    )
  )

const pathFields = new Set(["certificate-authority", "client-certificate", "client-key", "tokenFile"])

/** Paths as seen from here instead of from the file. */
const withPaths = (value: unknown, folder: string): unknown => {
  if (Array.isArray(value)) return value.map((one) => withPaths(one, folder))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      pathFields.has(name) && typeof field === "string" && field !== ""
        ? resolve(folder, field)
        : withPaths(field, folder)
    ])
  )
}

const named = <A extends { readonly name: string }>(what: string, name: string, all: ReadonlyArray<A>): Outcome<A> =>
  Result.fromNullishOr(
    all.find((one) => one.name === name),
    () => `it has no ${what} ${JSON.stringify(name)}`
  )

const serverOf = (server: string): Outcome<URL> =>
  URL.canParse(server) && new URL(server).protocol === "https:"
    ? Result.succeed(new URL(server))
    : Result.fail("the server of its cluster is not an https:// address")

const given = (data: string | null | undefined, path: string | null | undefined): Given | undefined => {
  if (data) return { _tag: "Value", value: Redacted.make(Buffer.from(data, "base64").toString("utf8")) }
  return path ? { _tag: "File", path } : undefined
}

const plain = (value: string | null | undefined): Given | undefined =>
  value ? { _tag: "Value", value: Redacted.make(value) } : undefined
