/** The manifests on a real control plane: applied as people do, and read back as the API server took them. */
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import type { PodSpec } from "../../src/domain/ClusterObjects.ts"
import { withTokenFile } from "./Clusters.ts"
import { OperatorPlane } from "./OperatorPlane.ts"
import { kubectl as kubectlOn } from "./servers/Kubernetes.ts"

/** The path of one of them. */
export const manifest = (name: string): string => fileURLToPath(new URL(`../../manifests/${name}`, import.meta.url))

/** Runs kubectl as the administrator; gives what it printed. */
export const kubectl = (...args: ReadonlyArray<string>) =>
  Effect.flatMap(OperatorPlane, (plane) => kubectlOn(plane, ...args))

/** What kubectl says of something that it does not do. */
export const kubectlRefusal = (...args: ReadonlyArray<string>) =>
  Effect.map(Effect.flip(kubectl(...args)), ({ message }) => message)

export interface Rule {
  readonly apiGroups: ReadonlyArray<string>
  readonly resources: ReadonlyArray<string>
  readonly verbs: ReadonlyArray<string>
}

interface Read {
  readonly rules?: ReadonlyArray<Rule>
  readonly spec?: { readonly replicas: number; readonly template: { readonly spec: PodSpec } }
}

const read = (...args: ReadonlyArray<string>) =>
  Effect.map(kubectl("get", ...args, "--output=json"), (text): Read => JSON.parse(text))

/** Where it runs, and what it was given there. */
export interface Deployed {
  readonly namespace: string
  readonly pod: PodSpec
  readonly replicas: number
}

/** The operator's Deployment as the API server has it. */
export const deployed = (namespace: string): Effect.Effect<Deployed, Error, OperatorPlane> =>
  Effect.map(read("deployment", "paymentjob-operator", "--namespace", namespace), ({ spec }) => ({
    namespace,
    pod: spec?.template.spec ?? { containers: [] },
    replicas: spec?.replicas ?? 0
  }))

/** What a role grants, each as roles name it: `patch paymentjobs.payments.example.com/status`. */
export const grantsOf = (...role: ReadonlyArray<string>) =>
  Effect.map(read(...role), ({ rules = [] }) => rules.flatMap(grantsOfRule))

/** The grants of one rule. */
export const grantsOfRule = ({ apiGroups, resources, verbs }: Rule): ReadonlyArray<string> =>
  apiGroups.flatMap((group) =>
    resources.flatMap((resource) => {
      const [plural = "", subresource] = resource.split("/")
      const kind = group === "" ? plural : `${plural}.${group}`
      return verbs.map((verb) => `${verb} ${subresource === undefined ? kind : `${kind}/${subresource}`}`)
    })
  )

/** The kubeconfig of the operator's service account, by a token as its pods are given one. */
export const serviceAccount = (namespace: string) =>
  Effect.gen(function* () {
    const token = yield* kubectl("create", "token", "paymentjob-operator", "--namespace", namespace)
    const { kubeconfig } = yield* withTokenFile(yield* OperatorPlane, token.trim())
    return kubeconfig
  })

/** The environment that a pod's container would be given, as far as it needs no node. */
export const environmentOf = ({
  namespace,
  pod
}: Pick<Deployed, "namespace" | "pod">): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (pod.containers[0]?.env ?? []).map(({ name, value, valueFrom }) => [
      name,
      valueFrom?.fieldRef?.fieldPath === "metadata.namespace" ? namespace : (value ?? "")
    ])
  )
