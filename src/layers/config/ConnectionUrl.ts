/**
 * The parts of `scheme://user:password@host:port/path?name=value`, percent-decoded.
 *
 * `URL` of the platform would do most of it, but drops paths like `.`, tabs and line ends in silence. This one is
 * stricter: what it is in doubt about it refuses, because a part of a password taken for a host would end in a log.
 */
import { Redacted, Result } from "effect"
import { hostOrSocketFolder, type Parser, port } from "./Parser.ts"

/** What is absent is `undefined`; a path comes without its first slash. */
export interface ConnectionUrl {
  readonly scheme: string
  readonly username: string | undefined
  readonly password: Redacted.Redacted | undefined
  readonly host: string | undefined
  readonly port: number | undefined
  readonly path: string | undefined
  readonly parameters: ReadonlyMap<string, string>
}

const anatomy = /^([a-z][a-z0-9+_]*):\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^?#@]*))?(?:\?([^#@]*))?$/i
const hostAndPort = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d+))?$/

/** Takes an address of one of the schemes; `form` tells the reader what one looks like. */
export const connectionUrl = (schemes: RegExp, form: string): Parser<ConnectionUrl> => ({
  takes: form,
  parse: (text) => Result.mapError(parse(schemes, text), (flaw) => `${form} (${flaw})`)
})

type Part<A> = Result.Result<A, string>

const parse = (schemes: RegExp, text: string): Part<ConnectionUrl> =>
  Result.gen(function* () {
    const [, scheme, credentials, server, path, query] = anatomy.exec(text) ?? []
    if (scheme === undefined || server === undefined || /[\s\p{Cc}]/u.test(text)) {
      return yield* Result.fail("@, /, ?, # and spaces inside a part have to be percent-encoded")
    }
    if (!schemes.test(scheme)) return yield* Result.fail("it has another scheme")
    return {
      scheme: scheme.toLowerCase(),
      ...(yield* credentialsOf(credentials)),
      ...(yield* serverOf(server)),
      path: path === undefined ? undefined : yield* decode(path),
      parameters: new Map(yield* Result.all((query ?? "").split("&").filter(String).map(parameterOf)))
    }
  })

const decode = (text: string): Part<string> =>
  Result.try({ try: () => decodeURIComponent(text), catch: () => "a % itself has to be written as %25" })

const credentialsOf = (text: string | undefined): Part<Pick<ConnectionUrl, "username" | "password">> =>
  Result.gen(function* () {
    if (text === undefined) return { username: undefined, password: undefined }
    const [username = "", ...rest] = text.split(":")
    const password = rest.length === 0 ? undefined : Redacted.make(yield* decode(rest.join(":")))
    return { username: yield* decode(username), password }
  })

const serverOf = (text: string): Part<Pick<ConnectionUrl, "host" | "port">> =>
  Result.gen(function* () {
    const [, name, digits] = hostAndPort.exec(text) ?? []
    if (name === undefined) return yield* Result.fail("its port is not a number, or it names several hosts")
    const port = digits === undefined ? undefined : yield* portOf(digits)
    if (name === "") return { host: undefined, port }
    return { host: yield* hostOf(yield* decode(name.replace(/^\[(.*)\]$/, "$1"))), port }
  })

const parameterOf = (pair: string): Part<readonly [name: string, value: string]> => {
  const [name = "", ...value] = pair.split("=")
  return Result.all([decode(name), decode(value.join("="))])
}

/** A host or the folder of a Unix socket, wherever in the address it stands. */
export const hostOf = (text: string): Part<string> =>
  Result.mapError(hostOrSocketFolder.parse(text), () => "it has no proper host")

/** A port, wherever in the address it stands. */
export const portOf = (text: string): Part<number> =>
  Result.mapError(port.parse(text), () => `its port is not ${port.takes}`)
