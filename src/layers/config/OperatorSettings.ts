/** How the PaymentJob operator works. */
import { Result } from "effect"
import { serviceAccountFolder } from "./KubernetesSettings.ts"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, refine, setting } from "./Setting.ts"

export interface OperatorSettings {
  /** PaymentJobs that may be looked at side by side. */
  readonly workers: number
  readonly imagePullPolicy: "Always" | "IfNotPresent" | "Never"
  /** `undefined`: this process acts without asking. */
  readonly election: ElectionSettings | undefined
}

export interface ElectionSettings {
  readonly namespace: string
  /** `undefined`: by the namespaces that are watched. */
  readonly name: string | undefined
  /** Of the pod or machine; a process adds something of its own. */
  readonly host: string
}

const asked = all({
  workers: setting(Parser.integer({ minimum: 1, maximum: 100, unit: "PaymentJobs" }), {
    name: "OPERATOR_WORKERS",
    default: "10",
    reason: "Looked at side by side: each waits for the API server most of the time."
  }),
  imagePullPolicy: setting(
    Parser.oneOf(
      { always: "Always", ifnotpresent: "IfNotPresent", never: "Never" } as const,
      "Always, IfNotPresent or Never"
    ),
    {
      name: "WORKER_IMAGE_PULL_POLICY",
      default: "IfNotPresent",
      reason: "For pods of PaymentJobs that do not say themselves."
    }
  ),
  elects: setting(Parser.flag, {
    name: "LEADER_ELECTION",
    default: "true",
    reason:
      "One of several operators acts, the others stand by. `false` is for a single one, which then needs no Lease."
  }),
  namespace: optional(Parser.namespace, {
    name: "LEADER_ELECTION_NAMESPACE",
    default: "the pod's own, else default",
    reason: "Where the Lease is kept that says who acts."
  }),
  name: optional(Parser.text, {
    name: "LEADER_ELECTION_NAME",
    default: "paymentjob-operator, with the watched namespaces after it",
    reason: "The name of that Lease: operators for the same namespaces have the same."
  }),
  host: optional(Parser.text, {
    name: "HOSTNAME",
    default: "",
    reason: "Set by Kubernetes in every pod: the beginning of a holder's name in the Lease."
  })
})

export const operatorSettings: Group<OperatorSettings> = refine(asked, (values, { readFile }) => {
  const { elects, host = "paystream", imagePullPolicy, name, workers } = values
  const own = readFile(`${serviceAccountFolder}/namespace`).pipe(
    Result.map((text) => text.trim()),
    Result.getOrElse(() => "default")
  )
  const election = elects ? { namespace: values.namespace ?? own, name, host } : undefined
  return Result.succeed({ workers, imagePullPolicy, election })
})
