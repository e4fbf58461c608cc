/** A Job, as far as it matters to its PaymentJob: thousands of them are kept in memory. */
import { type JobObject, kinds } from "../domain/ClusterObjects.ts"
import { nameAnnotation, nameLabel, selector, specHashAnnotation, suspendedAnnotation } from "./JobSpec.ts"

/** How a Job ended, in the words of Kubernetes. */
export interface JobEnd {
  readonly outcome: "Succeeded" | "Failed"
  readonly reason: string
  readonly message: string
  readonly at: string | undefined
}

export interface SeenJob {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  /** The PaymentJob that controls it, if one does. */
  readonly owner: { readonly name: string; readonly uid: string } | undefined
  readonly isDeleting: boolean
  /** Whether a watch of our labels tells of it. */
  readonly isLabelled: boolean
  readonly specHash: string | undefined
  readonly isSuspended: boolean
  /** By us, and not by somebody else. */
  readonly isSuspendedByUs: boolean
  readonly secondsToLive: number | undefined
  readonly active: number
  /** Pods that ended well, as far as they are counted. */
  readonly succeeded: number
  readonly failed: number
  /** When the cluster's own controller took it up. */
  readonly startTime: string | undefined
  readonly end: JobEnd | undefined
}

/** Of a Job, what is read below: the template of its pods is most of it. */
export const leanJob = ({ spec, ...job }: JobObject): JobObject => ({
  ...job,
  spec: {
    template: { spec: { containers: [] } },
    ...(spec.suspend === undefined ? {} : { suspend: spec.suspend }),
    ...(spec.ttlSecondsAfterFinished === undefined ? {} : { ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished })
  }
})

/** Reads one. */
export const seenJob = ({ metadata, spec, status }: JobObject): SeenJob => {
  const owner = metadata.ownerReferences?.find(
    ({ apiVersion, controller, kind }) =>
      controller === true && kind === "PaymentJob" && apiVersion.startsWith(`${kinds.PaymentJob.group}/`)
  )
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    owner: owner && { name: owner.name, uid: owner.uid },
    isDeleting: metadata.deletionTimestamp !== undefined,
    isLabelled: isLabelled(metadata.labels ?? {}),
    specHash: metadata.annotations?.[specHashAnnotation],
    isSuspended: spec.suspend === true,
    isSuspendedByUs: metadata.annotations?.[suspendedAnnotation] !== undefined,
    secondsToLive: spec.ttlSecondsAfterFinished,
    active: status?.active ?? 0,
    succeeded: status?.succeeded ?? 0,
    failed: status?.failed ?? 0,
    startTime: status?.startTime,
    end: endOf(status)
  }
}

const [managerLabel = "", manager] = selector.split("=")

const isLabelled = (labels: Readonly<Record<string, string>>): boolean =>
  labels[managerLabel] === manager && labels[nameLabel] !== undefined

/** Only these two are ends: before them, pods may still run. */
const endOf = (status: JobObject["status"]): JobEnd | undefined => {
  const found = status?.conditions?.find(
    (condition) => condition.status === "True" && (condition.type === "Complete" || condition.type === "Failed")
  )
  return (
    found && {
      outcome: found.type === "Complete" ? "Succeeded" : "Failed",
      reason: found.reason ?? found.type,
      message: found.message ?? "",
      at: status?.completionTime ?? found.lastTransitionTime
    }
  )
}

/** The name of the PaymentJob that a Job or a pod of ours belongs to. */
export const paymentJobNameOf = (metadata: JobObject["metadata"]): string | undefined =>
  metadata.annotations?.[nameAnnotation] ?? metadata.labels?.[nameLabel]
