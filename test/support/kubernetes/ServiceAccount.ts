/** A pod's access to its API server: what a kubelet mounts, as a file of kubectl's configuration. */
import { Effect } from "effect"
import type { PodObject } from "../../../src/domain/ClusterObjects.ts"
import { withTokenFile } from "../Clusters.ts"
import type { KubernetesAddress } from "../servers/Kubernetes.ts"
import { ServerError } from "../servers/ServerError.ts"
import type { Ask } from "./ApiRequests.ts"

export interface AccountOptions {
  readonly ask: Ask
  readonly plane: KubernetesAddress
  readonly pod: PodObject
}

/** KUBECONFIG with a token of its own, unless the pod wants none. */
export const environmentOf = ({ ask, plane, pod }: AccountOptions) =>
  Effect.gen(function* () {
    const none: Readonly<Record<string, string>> = {}
    if (pod.spec.automountServiceAccountToken === false) return none
    const { namespace } = pod.metadata
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.spec.serviceAccountName ?? "default"}/token`
    const { body } = yield* ask({ method: "POST", path, body: { spec: { expirationSeconds: 3_600 } } })
    const { token } = (body["status"] ?? {}) as { readonly token?: string }
    if (token === undefined) return yield* new ServerError({ message: `${path}: ${JSON.stringify(body)}` })
    const { kubeconfig } = yield* withTokenFile(plane, token)
    return { KUBECONFIG: kubeconfig }
  })
