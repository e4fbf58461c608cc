/** The product's access to the control plane of the tests, by way of the product's own settings. */
import { randomUUID } from "node:crypto"
import { Effect, Layer } from "effect"
import { inject } from "vitest"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as KubernetesCluster from "../../src/layers/kubernetes/KubernetesCluster.ts"
import { kubectl } from "./servers/Kubernetes.ts"

export interface ClusterOptions {
  readonly kubeconfig: string
  readonly pageSize?: number
  readonly silenceSeconds?: number
}

/** The cluster as the user of a kubeconfig sees it. */
export const cluster = ({ kubeconfig, pageSize, silenceSeconds = 90 }: ClusterOptions) =>
  Layer.unwrap(
    Effect.map(
      Settings.load(
        Settings.kubernetesSettings,
        Environment.make({ KUBECONFIG: kubeconfig, KUBERNETES_WATCH_SILENCE_SECONDS: `${silenceSeconds}` })
      ),
      (settings) => KubernetesCluster.layer({ ...settings, ...(pageSize === undefined ? {} : { pageSize }) })
    )
  )

/** A namespace of the shared control plane that nobody else uses. */
export const newNamespace = Effect.gen(function* () {
  const name = `test-${randomUUID()}`
  yield* kubectl(inject("kubernetes"), "create", "namespace", name)
  return name
})
