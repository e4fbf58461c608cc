/** A pod of a Job, as far as it tells how its PaymentJob gets on: what it waits for, how it ended, what it left. */
import { Option, Schema } from "effect"
import type { ContainerStatus, PodObject } from "../domain/ClusterObjects.ts"
import { printable, shortened } from "../domain/Printable.ts"
import { RunResult } from "./PaymentJob.ts"

/** Why a pod does not start: somebody has to do something about it. */
export interface Trouble {
  readonly reason: "SecretMissing" | "ContainerConfigInvalid" | "ImagePullFailed" | "Unschedulable" | "StartFailed"
  readonly message: string
}

export interface SeenPod {
  readonly name: string
  readonly namespace: string
  readonly uid: string
  readonly resourceVersion: string
  /** The Job that made it. */
  readonly jobUid: string | undefined
  readonly isFinished: boolean
  readonly succeeded: boolean
  readonly trouble: Trouble | undefined
  /** Undefined while it runs, and for a pod that ended without running. */
  readonly exitCode: number | undefined
  readonly finishedAt: string | undefined
  /** As it left it. */
  readonly result: RunResult | undefined
}

/** Reads one. */
export const seenPod = ({ metadata, status }: PodObject): SeenPod => {
  const isFinished = status?.phase === "Succeeded" || status?.phase === "Failed"
  const [container] = status?.containerStatuses ?? []
  const ended = container?.state?.terminated
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    jobUid: metadata.ownerReferences?.find(({ controller, kind }) => controller === true && kind === "Job")?.uid,
    isFinished,
    succeeded: status?.phase === "Succeeded",
    trouble: isFinished ? undefined : (waitingFor(container) ?? unschedulable(status)),
    exitCode: ended?.exitCode,
    finishedAt: ended?.finishedAt,
    result: ended?.message === undefined ? undefined : Option.getOrUndefined(decodeResult(ended.message))
  }
}

const decodeResult = Schema.decodeUnknownOption(Schema.fromJsonString(RunResult))

const reasons: Readonly<Record<string, Trouble["reason"]>> = {
  CreateContainerConfigError: "ContainerConfigInvalid",
  ErrImagePull: "ImagePullFailed",
  ImagePullBackOff: "ImagePullFailed",
  InvalidImageName: "ImagePullFailed",
  ErrImageNeverPull: "ImagePullFailed",
  ImageInspectError: "ImagePullFailed",
  RegistryUnavailable: "ImagePullFailed",
  CreateContainerError: "StartFailed",
  RunContainerError: "StartFailed"
}

const waitingFor = (container: ContainerStatus | undefined): Trouble | undefined => {
  const waiting = container?.state?.waiting
  const reason = reasons[waiting?.reason ?? ""]
  if (reason === undefined) return undefined
  // A node says it in turns as an error and as a wait: our own words stand still.
  if (reason === "ImagePullFailed") return { reason, message: "the image cannot be pulled" }
  const message = words(waiting?.message ?? "")
  return reason === "ContainerConfigInvalid" && /secret/i.test(message)
    ? { reason: "SecretMissing", message }
    : { reason, message }
}

const unschedulable = (status: PodObject["status"]): Trouble | undefined => {
  const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled")
  return scheduled?.status === "False" && scheduled.reason === "Unschedulable"
    ? { reason: "Unschedulable", message: words(scheduled.message ?? "no node takes the pod") }
    : undefined
}

const words = (text: string): string => shortened(printable(text), 300)
