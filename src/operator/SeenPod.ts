/** A pod of a Job, as far as it tells how its PaymentJob gets on: what it waits for, how it ended, what it left. */
import { Option, Schema } from "effect"
import type { ContainerStatus, PodObject } from "../domain/ClusterObjects.ts"
import { printable, shortened } from "../domain/Printable.ts"
import { RunResult } from "./PaymentJob.ts"

/** Why a pod does not start, or does not end: somebody has to do something about it. */
export interface Trouble {
  readonly reason:
    | "SecretMissing"
    | "ContainerConfigInvalid"
    | "ImagePullFailed"
    | "Unschedulable"
    | "StartFailed"
    | "NodeLost"
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
  /** Not there any more, and kept for what it said. */
  readonly isGone: boolean
  /** It is being deleted, and has so long to end. */
  readonly graceMillis: number | undefined
  /** When we will have seen it being deleted for too long, by our own clock. */
  readonly overdueAt: number | undefined
  readonly trouble: Trouble | undefined
  /** Undefined while it runs, and for a pod that ended without running. */
  readonly exitCode: number | undefined
  readonly finishedAt: string | undefined
  /** As it left it. */
  readonly result: RunResult | undefined
  /** Of which run it said that, if it did: images that know no `RUN_ID` do not. */
  readonly resultOfRun: string | undefined
}

/** Nodes take a moment. */
const deletionSlackMillis = 30_000

/** Counts how long it is being deleted since that was seen first: the clock of whoever wrote its time may be another. */
export const counted = (pod: SeenPod, before: SeenPod | undefined, nowMillis: number): SeenPod => {
  if (pod.graceMillis === undefined || pod.isFinished || pod.isGone) return pod
  const isKnown = before?.uid === pod.uid && before.graceMillis === pod.graceMillis
  const due = isKnown ? before.overdueAt : undefined
  return { ...pod, overdueAt: due ?? nowMillis + pod.graceMillis + deletionSlackMillis }
}

/** It waits or runs, and nothing is wrong with it. */
export const isUneventful = ({ graceMillis, isFinished, trouble }: SeenPod): boolean =>
  !isFinished && graceMillis === undefined && trouble === undefined

/** A pod that should have been gone is still said to be there: nobody ends it but its node, which does not answer. */
export const asOf = (pod: SeenPod, nowMillis: number): SeenPod =>
  pod.overdueAt === undefined || nowMillis < pod.overdueAt
    ? pod
    : { ...pod, trouble: nodeLost("it should have been gone by now") }

const nodeLost = (why: string): Trouble => ({
  reason: "NodeLost",
  message: `${why}, and its node does not answer: bring the node back, or delete the node when it is off for good`
})

/** Of a pod, what is read below: what it was made of is most of it. */
export const leanPod = ({ spec: _, status, ...pod }: PodObject): PodObject => {
  const { conditions = [], containerStatuses = [], phase, reason } = status ?? {}
  return {
    ...pod,
    spec: { containers: [] },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(reason === undefined ? {} : { reason }),
      conditions: conditions.filter(({ type }) => type === "PodScheduled"),
      containerStatuses: containerStatuses
        .slice(0, 1)
        .map(({ name, state }) => ({ name, ...(state === undefined ? {} : { state }) }))
    }
  }
}

/** Reads one. */
export const seenPod = ({ metadata, status }: PodObject): SeenPod => {
  const isFinished = status?.phase === "Succeeded" || status?.phase === "Failed"
  const [container] = status?.containerStatuses ?? []
  const ended = container?.state?.terminated
  const left = ended?.message === undefined ? undefined : Option.getOrUndefined(decodeLeft(ended.message))
  return {
    name: metadata.name,
    namespace: metadata.namespace,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    jobUid: metadata.ownerReferences?.find(({ controller, kind }) => controller === true && kind === "Job")?.uid,
    isFinished,
    succeeded: status?.phase === "Succeeded",
    isGone: false,
    graceMillis:
      metadata.deletionTimestamp === undefined ? undefined : (metadata.deletionGracePeriodSeconds ?? 0) * 1_000,
    overdueAt: undefined,
    trouble: isFinished ? undefined : (lost(status) ?? waitingFor(container) ?? unschedulable(status)),
    exitCode: ended?.exitCode,
    finishedAt: ended?.finishedAt,
    result: left && { stored: left.stored, duplicates: left.duplicates, deadLettered: left.deadLettered },
    resultOfRun: left?.run
  }
}

/** What is left of one that was deleted; nothing, if it did not say how it ended. */
export const goneOf = (pod: SeenPod): SeenPod | undefined =>
  pod.exitCode === undefined
    ? undefined
    : {
        ...pod,
        ...{ succeeded: pod.exitCode === 0, isFinished: true, isGone: true },
        ...{ overdueAt: undefined, trouble: undefined }
      }

const Left = Schema.Struct({ ...RunResult.fields, run: Schema.optionalKey(Schema.String) })
const decodeLeft = Schema.decodeUnknownOption(Schema.fromJsonString(Left))

const lost = (status: PodObject["status"]): Trouble | undefined =>
  status?.reason === "NodeLost" || status?.phase === "Unknown" ? nodeLost("nobody knows how it gets on") : undefined

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
  return reason === "ContainerConfigInvalid" && aboutSecret.test(message)
    ? { reason: "SecretMissing", message }
    : { reason, message }
}

/** `secret "login" not found`, `couldn't find key username in Secret payments/login`: a config map may be called so too. */
const aboutSecret = /\bsecrets? "[^"]*"|\bin Secret \S/

const unschedulable = (status: PodObject["status"]): Trouble | undefined => {
  const scheduled = status?.conditions?.find(({ type }) => type === "PodScheduled")
  return scheduled?.status === "False" && scheduled.reason === "Unschedulable"
    ? { reason: "Unschedulable", message: words(scheduled.message ?? "no node takes the pod") }
    : undefined
}

const words = (text: string): string => shortened(printable(text), 300)
