/** The Job that a PaymentJob asks for: its pods do the work by their environment alone, so that other images can too. */
import {
  apiVersionOf,
  type Container,
  type EnvironmentVariable,
  type JobObject,
  type JobSpec,
  type New
} from "../domain/ClusterObjects.ts"
import { hashOf, jobNameOf, labelOf } from "./Names.ts"
import type { PaymentJobSpec } from "./PaymentJob.ts"

/** On every Job of ours and its pods: the value is the PaymentJob's name, shortened where it is too long for a label. */
export const nameLabel = "paymentjob"
const managerLabel = "app.kubernetes.io/managed-by"
const manager = "paymentjob-operator"
/** Which Jobs and pods are ours. */
export const selector = `${managerLabel}=${manager}`

/** Of a Job, which spec it was made of. */
export const specHashAnnotation = "payments.example.com/spec-hash"
/** Of a Job that we have suspended: who suspended it otherwise resumes it too. */
export const suspendedAnnotation = "payments.example.com/suspended"
/** Of a pod, the whole name of its PaymentJob. */
export const nameAnnotation = "payments.example.com/paymentjob"

/** The one container of a pod. */
export const containerName = "worker"

const terminationMessagePath = "/dev/termination-log"
/** More than the worker's drain takes (30 s): whoever is asked to stop finishes what it has. */
const gracePeriodSeconds = 45

export interface JobOptions {
  /** Where the PaymentJob does not say. */
  readonly imagePullPolicy: "Always" | "IfNotPresent" | "Never"
}

/** Whose Job it is. */
export interface Owner {
  readonly name: string
  readonly namespace: string
  readonly uid: string
}

/** What labels a Job, and its pods. */
export const labelsOf = (name: string): Readonly<Record<string, string>> => ({
  [nameLabel]: labelOf(name),
  [managerLabel]: manager
})

/** Of specs that were seen: a PaymentJob is looked at much more often than it changes. */
const hashes = new WeakMap<PaymentJobSpec, string>()

/** Changes when a Job would be another one; what is applied to a Job that exists is left out. */
export const specHashOf = (given: PaymentJobSpec): string => {
  const known = hashes.get(given)
  if (known !== undefined) return known
  const { suspend: _, ttlSecondsAfterFinished: __, ...spec } = given
  const hash = hashOf(JSON.stringify(sorted(spec)))
  hashes.set(given, hash)
  return hash
}

/** The same text for the same value, whatever the order of its fields. */
const sorted = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(sorted)
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, field]) => [name, sorted(field)])
  )
}

/** The Job; it goes with its PaymentJob. */
export const jobOf = (owner: Owner, spec: PaymentJobSpec, options: JobOptions): New<JobObject> => ({
  metadata: {
    name: jobNameOf(owner.name),
    namespace: owner.namespace,
    labels: labelsOf(owner.name),
    annotations: { [nameAnnotation]: owner.name, [specHashAnnotation]: specHashOf(spec) },
    ownerReferences: [
      {
        apiVersion: apiVersionOf("PaymentJob"),
        kind: "PaymentJob",
        name: owner.name,
        uid: owner.uid,
        controller: true,
        blockOwnerDeletion: true
      }
    ]
  },
  spec: {
    ...limitsOf(spec),
    // a pod that was evicted, or asked to stop (4: suspended, deleted), is nobody's failure; a wrong configuration will
    // not be right the next time
    podFailurePolicy: {
      rules: [
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] },
        { action: "Ignore", onExitCodes: { containerName, operator: "In", values: [4] } },
        { action: "FailJob", onExitCodes: { containerName, operator: "In", values: [2] } }
      ]
    },
    // never two pods for one share of the work
    podReplacementPolicy: "Failed",
    template: {
      metadata: { labels: labelsOf(owner.name), annotations: { [nameAnnotation]: owner.name } },
      spec: {
        restartPolicy: "Never",
        ...(spec.serviceAccountName === undefined ? {} : { serviceAccountName: spec.serviceAccountName }),
        automountServiceAccountToken: false,
        // a service called "rabbitmq" would set RABBITMQ_PORT to something else
        enableServiceLinks: false,
        terminationGracePeriodSeconds: gracePeriodSeconds,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
        containers: [containerOf(owner, spec, options)],
        volumes: [{ name: "tmp", emptyDir: {} }]
      }
    }
  }
})

/** The time to live is set when the end of the run is on record, and not before: see `Decision`. */
const limitsOf = ({ activeDeadlineSeconds, backoffLimit, parallelism }: PaymentJobSpec): Partial<JobSpec> => ({
  ...(parallelism === undefined ? {} : { parallelism }),
  ...(backoffLimit === undefined ? {} : { backoffLimit }),
  ...(activeDeadlineSeconds === undefined ? {} : { activeDeadlineSeconds })
})

const containerOf = ({ uid }: Owner, spec: PaymentJobSpec, options: JobOptions): Container => ({
  name: containerName,
  image: spec.image,
  imagePullPolicy: spec.imagePullPolicy ?? options.imagePullPolicy,
  env: environmentOf(uid, spec),
  ...(spec.resources === undefined ? {} : { resources: spec.resources }),
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    runAsNonRoot: true,
    capabilities: { drop: ["ALL"] },
    seccompProfile: { type: "RuntimeDefault" }
  },
  terminationMessagePath,
  terminationMessagePolicy: "File",
  volumeMounts: [{ name: "tmp", mountPath: "/tmp" }]
})

/** What the spec leaves out is not set. */
const environmentOf = (runId: string, spec: PaymentJobSpec): ReadonlyArray<EnvironmentVariable> => {
  const own = [
    ...variable("MODE", "worker"),
    ...variable("RUN_ID", runId),
    ...variable("TERMINATION_MESSAGE_PATH", terminationMessagePath),
    ...variable("QUEUE_NAME", spec.queueName),
    ...variable("MAX_MESSAGES", spec.maxMessages),
    ...variable("IDLE_TIMEOUT_SECONDS", spec.idleTimeoutSeconds),
    ...variable("RABBITMQ_HOST", spec.rabbitmq?.host),
    ...variable("RABBITMQ_PORT", spec.rabbitmq && (spec.rabbitmq.port ?? 5672)),
    ...credentials("RABBITMQ", spec.rabbitmq?.secretRef),
    ...variable("POSTGRES_HOST", spec.postgres?.host),
    ...variable("POSTGRES_PORT", spec.postgres && (spec.postgres.port ?? 5432)),
    ...variable("POSTGRES_DB", spec.postgres?.database),
    ...credentials("POSTGRES", spec.postgres?.secretRef)
  ]
  const names = new Set([
    ...own.map(({ name }) => name),
    ...(spec.rabbitmq === undefined ? [] : insteadOf.rabbitmq),
    ...(spec.postgres === undefined ? [] : insteadOf.postgres)
  ])
  return [...own, ...(spec.env ?? []).filter(({ name }) => !names.has(name))]
}

/** What would win over a service's own fields, and take the run to another place. */
const insteadOf = {
  rabbitmq: ["BROKER", "RABBITMQ_URL", "RABBITMQ_URL_FILE"],
  postgres: ["DATABASE", "DATABASE_URL", "DATABASE_URL_FILE"]
} as const

const variable = (name: string, value: string | number | undefined): ReadonlyArray<EnvironmentVariable> =>
  // Kubernetes would put another variable in the place of $(NAME), and one $ in that of two
  value === undefined ? [] : [{ name, value: String(value).replaceAll("$", () => "$$") }]

/** Resolved by the node, which may read the secret: we may not. */
const credentials = (
  service: string,
  secret: { readonly name: string } | undefined
): ReadonlyArray<EnvironmentVariable> =>
  secret === undefined
    ? []
    : [
        { name: `${service}_USER`, valueFrom: { secretKeyRef: { name: secret.name, key: "username" } } },
        { name: `${service}_PASS`, valueFrom: { secretKeyRef: { name: secret.name, key: "password" } } }
      ]
