/** A control plane with the product's own CustomResourceDefinition, and the operator as a process on it. */
import { randomUUID } from "node:crypto"
import { fileURLToPath } from "node:url"
import { Context, Effect, Layer } from "effect"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { cluster } from "./ClusterAccess.ts"
import { apiServerFlags } from "./RecordedRequests.ts"
import * as Kubernetes from "./servers/Kubernetes.ts"
import { writeKubeconfig } from "./servers/KubernetesCertificates.ts"
import * as Program from "./servers/Program.ts"

const crd = fileURLToPath(new URL("../../manifests/crd-paymentjob.yaml", import.meta.url))

export class OperatorPlane extends Context.Service<OperatorPlane, Kubernetes.KubernetesServer>()(
  "paystream/test/OperatorPlane"
) {
  /** The control plane, and the administrator's access to it. */
  static readonly layer = Layer.suspend(() => plane([crd]))

  /** The same, where PaymentJobs are not known. */
  static readonly layerWithoutCrd = Layer.suspend(() => plane([]))
}

const plane = (crds: ReadonlyArray<string>) =>
  Layer.unwrap(Effect.map(OperatorPlane, ({ kubeconfig }) => cluster({ kubeconfig }))).pipe(
    Layer.provideMerge(
      Layer.effect(
        OperatorPlane,
        Kubernetes.start({
          crds,
          // who may not finalize a PaymentJob may not block its deletion there, as on OpenShift
          apiServerFlags: ["--enable-admission-plugins=OwnerReferencesPermissionEnforcement", ...apiServerFlags]
        })
      )
    )
  )

/** A namespace of one's own. */
export const newNamespace = Effect.gen(function* () {
  const name = `test-${randomUUID()}`
  yield* Kubernetes.kubectl(yield* OperatorPlane, "create", "namespace", name)
  return name
})

/** The kubeconfig of an administrator with a name of its own, by which its requests can be told from others. */
export const administrator = (name: string) =>
  Effect.flatMap(OperatorPlane, ({ folder, port }) =>
    writeKubeconfig({ folder, port, name, groups: ["system:masters"] })
  )

export interface OperatorOptions {
  readonly namespace: string
  readonly runtime?: Program.Runtime
  /** In place of the administrator's. */
  readonly kubeconfig?: string
  readonly env?: Readonly<Record<string, string>>
  /** In place of the product's entry point. */
  readonly main?: string
}

/** What one writes when it begins to act; one that stands by writes who leads, in other words. */
export const leads = /"[^":]+ leads"/

/** Starts one for a namespace, which has the Lease too. */
export const startOperator = ({ env, kubeconfig, main, namespace, runtime = "node" }: OperatorOptions) =>
  Effect.flatMap(OperatorPlane, (plane) =>
    Program.start({
      runtime,
      args: ["--mode=operator"],
      ...(main === undefined ? {} : { main }),
      env: {
        KUBECONFIG: kubeconfig ?? plane.kubeconfig,
        WATCH_NAMESPACE: namespace,
        LEADER_ELECTION_NAMESPACE: namespace,
        HEALTH_PORT: "0",
        LOG_FORMAT: "json",
        ...env
      }
    })
  )

/** What there is of all that the operator writes, by name and version: the Lease left out. */
export const versionsIn = (namespace: string) =>
  Effect.gen(function* () {
    const access = yield* Cluster
    const lists = yield* Effect.all([
      access.list("PaymentJob", { namespaces: [namespace] }),
      access.list("Job", { namespaces: [namespace] }),
      access.list("Event", { namespaces: [namespace] })
    ])
    return lists.flat().map(({ kind, metadata }) => `${kind} ${metadata.name} ${metadata.resourceVersion}`)
  })
