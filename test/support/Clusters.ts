/** The product's access to the control plane of the tests, by way of the product's own settings. */
import { randomUUID } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Duration, Effect, Layer } from "effect"
import { inject } from "vitest"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as KubernetesCluster from "../../src/layers/kubernetes/KubernetesCluster.ts"
import { type KubernetesAddress, kubectl } from "./servers/Kubernetes.ts"
import { kubeconfigOf } from "./servers/KubernetesCertificates.ts"
import { ServerError } from "./servers/ServerError.ts"
import * as TcpProxy from "./servers/TcpProxy.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

export interface ClusterOptions {
  readonly kubeconfig: string
  readonly pageSize?: number
  readonly silenceSeconds?: number
  readonly refusedFor?: Duration.Duration
}

/** The cluster as the user of a kubeconfig sees it. */
export const cluster = ({ kubeconfig, pageSize, refusedFor, silenceSeconds = 90 }: ClusterOptions) =>
  Layer.unwrap(
    Effect.map(
      Settings.load(
        Settings.kubernetesSettings,
        Environment.make({ KUBECONFIG: kubeconfig, KUBERNETES_WATCH_SILENCE_SECONDS: `${silenceSeconds}` })
      ),
      (settings) =>
        KubernetesCluster.layer({
          ...settings,
          ...(pageSize === undefined ? {} : { pageSize }),
          ...(refusedFor === undefined ? {} : { refusedFor })
        })
    )
  )

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
