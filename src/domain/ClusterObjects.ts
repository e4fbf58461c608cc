/** The objects of a Kubernetes cluster, as far as we read or write them: what the API server adds is kept and passed on. */

/** Who an object goes with: deleted when all its owners are. */
export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** What an object is to be called and to go with. */
export interface NewMetadata {
  readonly name: string
  readonly namespace: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly ownerReferences?: ReadonlyArray<OwnerReference>
}

/** What the API server says of every object; `managedFields` are dropped at once. Times are ISO 8601. */
export interface Metadata extends NewMetadata {
  /** Tells this object from an earlier or later one of the same name. */
  readonly uid: string
  /** A decimal number that grows with every change; read it with `versionOf`. */
  readonly resourceVersion: string
  /** Grows when `spec` changes. */
  readonly generation?: number
  readonly creationTimestamp: string
  /** Since when it is being deleted: it goes when its finalizers and what it blocks are gone. */
  readonly deletionTimestamp?: string
  /** How long it may take to go, once it is being deleted. */
  readonly deletionGracePeriodSeconds?: number
}

/** What every object has. */
export interface ClusterObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: Metadata
}

/** A PaymentJob, read as what it is by the operator's schema. */
export interface PaymentJobObject extends ClusterObject {
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: Readonly<Record<string, unknown>>
}

/** One thing that is said about an object, as Kubernetes says it everywhere. */
export interface Condition {
  readonly type: string
  readonly status: "True" | "False" | "Unknown"
  readonly reason?: string
  readonly message?: string
  readonly lastTransitionTime?: string
  readonly observedGeneration?: number
}

/** A variable of a container's environment: its value, or the key of a secret or config map, or a field of the pod. */
export interface EnvironmentVariable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: {
    readonly secretKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean }
    readonly configMapKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean }
    readonly fieldRef?: { readonly fieldPath: string }
  }
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy?: string
  readonly command?: ReadonlyArray<string>
  readonly args?: ReadonlyArray<string>
  readonly env?: ReadonlyArray<EnvironmentVariable>
  readonly resources?: Readonly<Record<string, unknown>>
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly terminationMessagePath?: string
  readonly terminationMessagePolicy?: "File" | "FallbackToLogsOnError"
  readonly volumeMounts?: ReadonlyArray<Readonly<Record<string, unknown>>>
}

export interface PodSpec {
  readonly containers: ReadonlyArray<Container>
  readonly restartPolicy?: "Always" | "OnFailure" | "Never"
  readonly serviceAccountName?: string
  readonly automountServiceAccountToken?: boolean
  readonly enableServiceLinks?: boolean
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly terminationGracePeriodSeconds?: number
  readonly volumes?: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly nodeName?: string
}

export interface JobSpec {
  readonly template: {
    readonly metadata?: Pick<NewMetadata, "labels" | "annotations">
    readonly spec: PodSpec
  }
  readonly parallelism?: number
  readonly completions?: number
  readonly completionMode?: "NonIndexed" | "Indexed"
  readonly backoffLimit?: number
  readonly activeDeadlineSeconds?: number
  readonly ttlSecondsAfterFinished?: number
  readonly suspend?: boolean
  readonly podReplacementPolicy?: "TerminatingOrFailed" | "Failed"
  readonly podFailurePolicy?: { readonly rules: ReadonlyArray<Readonly<Record<string, unknown>>> }
}

export interface JobStatus {
  readonly active?: number
  readonly ready?: number
  readonly succeeded?: number
  readonly failed?: number
  readonly terminating?: number
  readonly startTime?: string
  readonly completionTime?: string
  readonly conditions?: ReadonlyArray<Condition>
}

export interface JobObject extends ClusterObject {
  readonly spec: JobSpec
  readonly status?: JobStatus
}

/** How a container stands: exactly one of the three. */
export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly running?: { readonly startedAt?: string }
  readonly terminated?: {
    readonly exitCode: number
    readonly reason?: string
    /** What the program left in its termination file; 4096 bytes at most. */
    readonly message?: string
    readonly startedAt?: string
    readonly finishedAt?: string
  }
}

export interface ContainerStatus {
  readonly name: string
  readonly ready?: boolean
  readonly restartCount?: number
  readonly state?: ContainerState
  readonly lastState?: ContainerState
}

export interface PodStatus {
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown"
  readonly reason?: string
  readonly message?: string
  readonly startTime?: string
  readonly conditions?: ReadonlyArray<Condition>
  readonly containerStatuses?: ReadonlyArray<ContainerStatus>
}

export interface PodObject extends ClusterObject {
  readonly spec: PodSpec
  readonly status?: PodStatus
}

export interface LeaseSpec {
  readonly holderIdentity?: string
  readonly leaseDurationSeconds?: number
  /** With microseconds, as every time of a lease. */
  readonly acquireTime?: string
  readonly renewTime?: string
  readonly leaseTransitions?: number
}

export interface LeaseObject extends ClusterObject {
  readonly spec?: LeaseSpec
}

/** What happened to an object, for people who look at it. */
export interface EventObject extends ClusterObject {
  readonly involvedObject: {
    readonly apiVersion: string
    readonly kind: string
    readonly namespace: string
    readonly name: string
    readonly uid: string
    readonly resourceVersion?: string
  }
  readonly type: "Normal" | "Warning"
  readonly reason: string
  readonly message: string
  readonly count?: number
  readonly firstTimestamp?: string
  readonly lastTimestamp?: string
  readonly source?: { readonly component: string; readonly host?: string }
  readonly reportingComponent?: string
  readonly reportingInstance?: string
}

/** The objects of each kind. */
export interface Objects {
  readonly PaymentJob: PaymentJobObject
  readonly Job: JobObject
  readonly Pod: PodObject
  readonly Lease: LeaseObject
  readonly Event: EventObject
}

export type Kind = keyof Objects

/** Where the API server serves a kind. */
export interface ServedAs {
  /** Empty for Kubernetes' own first group. */
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly namespaced: boolean
}

/** Every kind that we touch. */
export const kinds: { readonly [K in Kind]: ServedAs } = {
  PaymentJob: { group: "payments.example.com", version: "v1alpha1", plural: "paymentjobs", namespaced: true },
  Job: { group: "batch", version: "v1", plural: "jobs", namespaced: true },
  Pod: { group: "", version: "v1", plural: "pods", namespaced: true },
  Lease: { group: "coordination.k8s.io", version: "v1", plural: "leases", namespaced: true },
  Event: { group: "", version: "v1", plural: "events", namespaced: true }
}

/** The `apiVersion` of a kind. */
export const apiVersionOf = (kind: Kind): string => {
  const { group, version } = kinds[kind]
  return group === "" ? version : `${group}/${version}`
}

/** A kind as people and roles name it: `jobs.batch`. */
export const resourceOf = (kind: Kind): string => {
  const { group, plural } = kinds[kind]
  return group === "" ? plural : `${plural}.${group}`
}

/** Where an object stands among its own changes: of two copies with one `uid`, the greater is the newer. */
export const versionOf = ({ metadata }: ClusterObject): bigint => BigInt(metadata.resourceVersion)

/** An object to create: `apiVersion` and `kind` are the kind's own. */
export type New<O extends ClusterObject> = Omit<O, "apiVersion" | "kind" | "metadata" | "status"> & {
  readonly metadata: NewMetadata
}
