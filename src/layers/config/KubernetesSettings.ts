/** Which cluster, who we are there, which namespaces, and how long to wait. */
import { type Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, refine, setting } from "./Setting.ts"

/** Where the address and the credentials are. */
export type KubernetesAccess =
  /** Files of kubectl's configuration; the first that says something wins. */
  | { readonly _tag: "Kubeconfig"; readonly paths: ReadonlyArray<string> }
  /** What every pod is given, in `folder`. */
  | { readonly _tag: "ServiceAccount"; readonly host: string; readonly port: number; readonly folder: string }

export interface KubernetesSettings {
  readonly access: KubernetesAccess
  /** None: all of them. */
  readonly namespaces: ReadonlyArray<string>
  /** For an answer to a request. */
  readonly requestTimeout: Duration.Duration
  /** For the next byte of a watch. */
  readonly watchSilence: Duration.Duration
}

/** Where Kubernetes mounts a pod's token and the cluster's authority. */
export const serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

const asked = all({
  kubeconfig: optional(Parser.text, {
    name: "KUBECONFIG",
    default: "the service account where this runs in a pod, else ~/.kube/config",
    reason: "Files of kubectl's configuration, with colons between: where the cluster is, and who we are there."
  }),
  host: optional(Parser.host, {
    name: "KUBERNETES_SERVICE_HOST",
    default: "",
    reason: "Set by Kubernetes in every pod: where its API server is."
  }),
  port: setting(Parser.port, {
    name: "KUBERNETES_SERVICE_PORT",
    default: "443",
    reason: "Set by Kubernetes in every pod."
  }),
  namespaces: setting(Parser.orWord("all", Parser.listOf(Parser.namespace)), {
    name: "WATCH_NAMESPACE",
    default: "all",
    reason: "Where PaymentJobs are looked after; all of them need a ClusterRole, some a Role in each."
  }),
  requestTimeout: setting(Parser.seconds({ minimum: 1, maximum: 300 }), {
    name: "KUBERNETES_REQUEST_TIMEOUT_SECONDS",
    default: "30",
    reason: "For an answer of the API server, which itself may wait 10 seconds for each admission webhook."
  }),
  watchSilence: setting(Parser.seconds({ minimum: 1, maximum: 3_600 }), {
    name: "KUBERNETES_WATCH_SILENCE_SECONDS",
    default: "90",
    reason:
      "A watch without a byte for so long is opened again: the API server sends a bookmark about every 60 seconds."
  })
})

/** `KUBECONFIG`, else what a pod is given, else what kubectl would take. */
export const kubernetesSettings: Group<KubernetesSettings> = refine(asked, (values, environment) => {
  const { host, kubeconfig, namespaces = [], port, requestTimeout, watchSilence } = values
  const home = environment.get("HOME") ?? ""
  const access: KubernetesAccess =
    kubeconfig === undefined && host !== undefined
      ? { _tag: "ServiceAccount", host, port, folder: serviceAccountFolder }
      : { _tag: "Kubeconfig", paths: (kubeconfig ?? `${home}/.kube/config`).split(":").filter((path) => path !== "") }
  return Result.succeed({ access, namespaces, requestTimeout, watchSilence })
})
