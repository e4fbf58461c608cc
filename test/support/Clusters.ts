/** Ways to the control plane of the tests: who one is there, and what is in between. */
import { randomUUID } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { inject } from "vitest"
import { type KubernetesAddress, kubectl } from "./servers/Kubernetes.ts"
import { kubeconfigOf } from "./servers/KubernetesCertificates.ts"
import { ServerError } from "./servers/ServerError.ts"
import * as TcpProxy from "./servers/TcpProxy.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

const attempt = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({
    try: evaluate,
    catch: (cause) => new ServerError({ message: "cannot read or write a kubeconfig", cause })
  })

/** The administrator's kubeconfig, for another port. */
export const kubeconfigAt = ({ kubeconfig, port }: KubernetesAddress, other: number) =>
  Effect.gen(function* () {
    const path = join(yield* temporaryFolder("kubeconfig"), "proxied.conf")
    const contents = yield* attempt(() => readFile(kubeconfig, "utf8"))
    yield* attempt(() => writeFile(path, contents.replace(`127.0.0.1:${port}`, `127.0.0.1:${other}`)))
    return path
  })

/** A proxy in front of a control plane, and the kubeconfig of who goes through it. */
export const throughProxy = (address: KubernetesAddress) =>
  Effect.gen(function* () {
    const proxy = yield* TcpProxy.start({ host: "127.0.0.1", port: address.port })
    return { proxy, kubeconfig: yield* kubeconfigAt(address, proxy.port) }
  })

/** The kubeconfig of who has a token in a file, and a way to put another one there. */
export const withTokenFile = ({ folder, port }: KubernetesAddress, token: string) =>
  Effect.gen(function* () {
    const own = yield* temporaryFolder("kubeconfig")
    const [path, tokenFile] = [join(own, "token.conf"), join(own, "token")]
    const authority = yield* attempt(() => readFile(join(folder, "ca.crt")))
    const replaceToken = (next: string) => attempt(() => writeFile(tokenFile, `${next}\n`))
    yield* replaceToken(token)
    yield* attempt(() => writeFile(path, kubeconfigOf(port, authority.toString("base64"), { tokenFile })))
    return { kubeconfig: path, replaceToken }
  })

/** A namespace of the shared control plane that nobody else uses. */
export const newNamespace = Effect.gen(function* () {
  const name = `test-${randomUUID()}`
  yield* kubectl(inject("kubernetes"), "create", "namespace", name)
  return name
})
