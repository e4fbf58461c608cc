/** Certificates for a test: an authority, and what it vouches for. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { run } from "./command.ts"
import { ServerError } from "./ServerError.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

export interface Certificates {
  readonly authorityFile: string
  readonly serverCertificateFile: string
  readonly serverKeyFile: string
  /** Both in one, as Kafka wants them. */
  readonly serverFile: string
  readonly clientCertificateFile: string
  readonly clientKeyFile: string
}

/** Made by `openssl` in a folder that goes with the scope; the server's for these names. */
export const make = Effect.fnUntraced(function* (names = "IP:127.0.0.1,DNS:localhost") {
  const folder = yield* temporaryFolder("certificates")
  const file = (name: string) => join(folder, name)
  const openssl = (...args: ReadonlyArray<string>) => run("openssl", args, { env: process.env, cwd: folder })
  const key = ["-newkey", "rsa:2048", "-nodes"]
  yield* openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test")
  const sign = (name: string, extension: string) =>
    Effect.gen(function* () {
      yield* openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`)
      yield* promised(() => writeFile(file(`${name}.ext`), extension))
      const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
      yield* openssl(
        ...["x509", "-req", "-in", `${name}.csr`, ...authority, "-out", `${name}.pem`, "-extfile", `${name}.ext`]
      )
    })
  yield* sign("server", `subjectAltName=${names}\n`)
  yield* sign("client", "extendedKeyUsage=clientAuth\n")
  yield* promised(async () => {
    const parts = await Promise.all(["server.key", "server.pem"].map((name) => readFile(file(name), "utf8")))
    await writeFile(file("server-both.pem"), parts.join(""))
  })
  return {
    authorityFile: file("ca.pem"),
    serverCertificateFile: file("server.pem"),
    serverKeyFile: file("server.key"),
    serverFile: file("server-both.pem"),
    clientCertificateFile: file("client.pem"),
    clientKeyFile: file("client.key")
  } satisfies Certificates
})

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot write the certificates of a test", cause })
  })
