/** Who is who in a control plane of our own: an authority, the API server, and anybody that a test needs. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { run } from "./command.ts"
import { ServerError } from "./ServerError.ts"

/** The files of an authority, and what the API server shows and signs with. */
export interface Authority {
  readonly certificate: string
  readonly serverCertificate: string
  readonly serverKey: string
  readonly serviceAccountKey: string
}

const authorityIn = (folder: string): Authority => ({
  certificate: join(folder, "ca.crt"),
  serverCertificate: join(folder, "server.crt"),
  serverKey: join(folder, "server.key"),
  serviceAccountKey: join(folder, "service-account.key")
})

const openssl = (folder: string, ...args: ReadonlyArray<string>) =>
  run("openssl", args, { cwd: folder, env: { PATH: process.env.PATH } })

const makeKey = (folder: string, name: string) =>
  openssl(folder, "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", `${name}.key`)

const sign = (folder: string, name: string, subject: string, extension: string) =>
  Effect.gen(function* () {
    yield* makeKey(folder, name)
    const request = ["req", "-new", "-key", `${name}.key`, "-subj", subject, "-addext", extension]
    yield* openssl(folder, ...request, "-out", `${name}.csr`)
    const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy"]
    yield* openssl(folder, "x509", "-req", "-in", `${name}.csr`, ...by, "-out", `${name}.crt`)
  })

/** Makes the authority of a control plane in its folder. */
export const makeAuthority = (folder: string): Effect.Effect<Authority, ServerError> =>
  Effect.gen(function* () {
    yield* makeKey(folder, "ca")
    const root = ["req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=paystream-test", "-days", "2"]
    yield* openssl(folder, ...root, "-addext", "keyUsage=critical,keyCertSign,digitalSignature", "-out", "ca.crt")
    const names = "subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost,DNS:kubernetes.default.svc"
    yield* sign(folder, "server", "/CN=kube-apiserver", names)
    yield* makeKey(folder, "service-account")
    return authorityIn(folder)
  })

/** The kubeconfig of a user whose certificate names these groups; its path. */
export const writeKubeconfig = (user: {
  readonly folder: string
  readonly port: number
  readonly name: string
  readonly groups: ReadonlyArray<string>
}): Effect.Effect<string, ServerError> =>
  Effect.gen(function* () {
    const { folder, groups, name, port } = user
    const file = name.replace(/[^a-z0-9-]/g, "-")
    const subject = `${groups.map((group) => `/O=${group}`).join("")}/CN=${name}`
    yield* sign(folder, file, subject, "extendedKeyUsage=clientAuth")
    return yield* promised(async () => {
      const text = (path: string) => readFile(join(folder, path))
      const [authority, certificate, key] = await Promise.all([
        text("ca.crt"),
        text(`${file}.crt`),
        text(`${file}.key`)
      ])
      const path = join(folder, `${file}.conf`)
      const identity = {
        "client-certificate-data": certificate.toString("base64"),
        "client-key-data": key.toString("base64")
      }
      await writeFile(path, kubeconfigOf(port, authority.toString("base64"), identity))
      return path
    })
  })

/** A kubeconfig, in the part of YAML that is JSON. */
export const kubeconfigOf = (port: number, authority: string, user: Readonly<Record<string, string>>): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    clusters: [
      { name: "test", cluster: { server: `https://127.0.0.1:${port}`, "certificate-authority-data": authority } }
    ],
    users: [{ name: "test", user }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test" } }]
  })

/** The administrator's, for a request by hand. */
export const adminTls = (folder: string) =>
  promised(async () => {
    const [ca, cert, key] = await Promise.all(
      ["ca.crt", "admin.crt", "admin.key"].map((name) => readFile(join(folder, name), "utf8"))
    )
    return { ca, cert, key }
  })

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot read or write the certificates of a test", cause })
  })
