/** The product's access to a control plane, by way of the product's own settings. */
import { type Duration, Effect, Layer } from "effect"
import * as Environment from "../../src/layers/config/Environment.ts"
import * as Settings from "../../src/layers/config/Settings.ts"
import * as KubernetesCluster from "../../src/layers/kubernetes/KubernetesCluster.ts"

export interface ClusterOptions {
  readonly kubeconfig: string
  readonly pageSize?: number
  readonly silenceSeconds?: number
  readonly requestTimeoutSeconds?: number
  readonly refusedFor?: Duration.Duration
}

/** The cluster as the user of a kubeconfig sees it. */
export const cluster = ({
  kubeconfig,
  pageSize,
  refusedFor,
  requestTimeoutSeconds = 30,
  silenceSeconds = 90
}: ClusterOptions) =>
  Layer.unwrap(
    Effect.map(
      Settings.load(
        Settings.kubernetesSettings,
        Environment.make({
          KUBECONFIG: kubeconfig,
          KUBERNETES_WATCH_SILENCE_SECONDS: `${silenceSeconds}`,
          KUBERNETES_REQUEST_TIMEOUT_SECONDS: `${requestTimeoutSeconds}`
        })
      ),
      (settings) =>
        KubernetesCluster.layer({
          ...settings,
          ...(pageSize === undefined ? {} : { pageSize }),
          ...(refusedFor === undefined ? {} : { refusedFor })
        })
    )
  )
