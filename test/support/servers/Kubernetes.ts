/** A control plane of our own: etcd, kube-apiserver and kube-controller-manager, with RBAC. Nothing runs pods in it. */
import * as https from "node:https"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import { spawn } from "./Child.ts"
import { run } from "./command.ts"
import { freePort } from "./freePort.ts"
import { type Authority, adminTls, makeAuthority, writeKubeconfig } from "./KubernetesCertificates.ts"
import { find, type Programs } from "./KubernetesPrograms.ts"
import { ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** The kind PaymentJob without the product's schema. */
export const looseCrd = fileURLToPath(new URL("../kubernetes/loose-crd.yaml", import.meta.url))

/** How to reach one: plain data, which a test file can be given. */
export interface KubernetesAddress {
  readonly port: number
  /** The administrator's kubeconfig. */
  readonly kubeconfig: string
  /** Where its certificates and its authority are. */
  readonly folder: string
  readonly kubectl: readonly [program: string, ...args: ReadonlyArray<string>]
}

/** What a test may do to it. */
export interface KubernetesServer extends KubernetesAddress {
  readonly apiServer: ServerControl
  readonly controllerManager: ServerControl
}

export interface KubernetesOptions {
  /**
   * Files with CustomResourceDefinitions, there before the controllers start: the garbage collector looks for new kinds
   * only every 30 seconds.
   */
  readonly crds: ReadonlyArray<string>
  /** More of the API server's own flags. */
  readonly apiServerFlags?: ReadonlyArray<string>
}

/** Starts one, ready for Jobs, on 127.0.0.1 only; it goes with the scope. */
export const start = (options: KubernetesOptions): Effect.Effect<KubernetesServer, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const programs = yield* find()
    const folder = yield* temporaryFolder("kubernetes")
    const port = yield* freePort
    const authority = yield* makeAuthority(folder)
    const kubeconfig = yield* writeKubeconfig({ folder, port, name: "admin", groups: ["system:masters"] })
    const address = { port, kubeconfig, folder, kubectl: programs("kubectl") }
    yield* startEtcd(programs, folder)
    const apiServer = yield* startApiServer(programs, address, authority, options.apiServerFlags ?? [])
    if (options.crds.length > 0) yield* establish(address, options.crds)
    const controllerManager = yield* startControllerManager(programs, address, authority)
    return { ...address, apiServer, controllerManager }
  })

const programIn = (programs: Programs, folder: string, name: Parameters<Programs>[0], args: ReadonlyArray<string>) => {
  const [program, ...first] = programs(name)
  return spawn(program, [...first, ...args], { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } })
}

const socketIn = (folder: string): string => `unix://${join(folder, "etcd.sock")}`

const startEtcd = (programs: Programs, folder: string) =>
  ownProcess({
    spawn: programIn(programs, folder, "etcd", [
      ...["--name=default", "--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn"],
      ...[`--listen-client-urls=${socketIn(folder)}`, "--advertise-client-urls=http://127.0.0.1:1"],
      "--listen-peer-urls=http://127.0.0.1:0"
    ]),
    ready: Effect.void,
    stopSignal: "SIGTERM"
  })

const startApiServer = (
  programs: Programs,
  address: KubernetesAddress,
  authority: Authority,
  flags: ReadonlyArray<string>
) =>
  ownProcess({
    spawn: programIn(programs, address.folder, "kube-apiserver", [
      ...["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", `--secure-port=${address.port}`],
      ...[`--etcd-servers=${socketIn(address.folder)}`, "--authorization-mode=Node,RBAC"],
      ...[`--client-ca-file=${authority.certificate}`, `--tls-cert-file=${authority.serverCertificate}`],
      ...[`--tls-private-key-file=${authority.serverKey}`, "--service-account-issuer=https://kubernetes.default.svc"],
      ...[`--service-account-key-file=${authority.serviceAccountKey}`],
      ...[`--service-account-signing-key-file=${authority.serviceAccountKey}`],
      ...["--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none", ...flags]
    ]),
    ready: answers(address, "/readyz"),
    stopSignal: "SIGTERM"
  })

const startControllerManager = (programs: Programs, address: KubernetesAddress, authority: Authority) =>
  Effect.gen(function* () {
    const { folder, port } = address
    const kubeconfig = yield* writeKubeconfig({ folder, port, name: "system:kube-controller-manager", groups: [] })
    return yield* ownProcess({
      spawn: programIn(programs, folder, "kube-controller-manager", [
        ...[`--kubeconfig=${kubeconfig}`, "--leader-elect=false", "--secure-port=0"],
        ...[`--service-account-private-key-file=${authority.serviceAccountKey}`],
        ...[`--root-ca-file=${authority.certificate}`, "--use-service-account-credentials"],
        // its own 20 a second would be what a test waits for
        ...["--kube-api-qps=1000", "--kube-api-burst=1000"]
      ]),
      // its controllers run: one has made the first namespace's service account
      ready: answers(address, "/api/v1/namespaces/default/serviceaccounts/default"),
      stopSignal: "SIGTERM"
    })
  })

/** Runs kubectl as the administrator. */
export const kubectl = (
  { kubectl: [program, ...first], kubeconfig }: KubernetesAddress,
  ...args: ReadonlyArray<string>
): Effect.Effect<string, ServerError> =>
  run(program, [...first, `--kubeconfig=${kubeconfig}`, ...args], {
    env: { PATH: process.env.PATH, HOME: "/nonexistent" }
  })

const establish = (address: KubernetesAddress, crds: ReadonlyArray<string>) =>
  Effect.andThen(
    kubectl(address, "apply", "--server-side", ...crds.flatMap((crd) => ["-f", crd])),
    kubectl(address, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
  )

/** Whether the administrator gets a good answer. */
const answers = ({ folder, port }: KubernetesAddress, path: string): Effect.Effect<void, ServerError> =>
  Effect.flatMap(adminTls(folder), (tls) =>
    Effect.callback((resume) => {
      const fail = (message: string) => resume(new ServerError({ message: `the API server: ${path}: ${message}` }))
      const request = https.get({ ...tls, host: "127.0.0.1", port, path, agent: false }, (response) => {
        response.resume()
        if (response.statusCode === 200) resume(Effect.void)
        else fail(`${response.statusCode}`)
      })
      request.on("error", (error) => fail(error.message))
      return Effect.sync(() => void request.destroy())
    })
  )
