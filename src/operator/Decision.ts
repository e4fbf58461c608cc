/**
 * What is to be done for a PaymentJob, given what was seen of it, of its Job and of its pods. Pure: the same sight gives
 * the same actions, whatever happened before.
 *
 * ## Guarantees
 * - A PaymentJob that has come to its end, or is being deleted, gets no Job; a Job that came too late is suspended.
 * - A Job is created only for a PaymentJob that was read from the API server itself, and only where none is seen.
 * - Nothing is done to a Job that another object controls; what somebody else suspended is not resumed.
 * - A time alone is no reason to write.
 * - Done, the actions lead to a sight that asks for none, in five steps at most unless something else changes.
 */
import type { JobObject, New } from "../domain/ClusterObjects.ts"
import type { MergePatch } from "../domain/MergePatch.ts"
import { type JobOptions, jobOf, labelsOf, suspendedAnnotation } from "./JobSpec.ts"
import { type Occurrence, occurrencesOf, saysNoJob } from "./Occurrences.ts"
import { hasEnded, type PaymentJobStatus } from "./PaymentJob.ts"
import type { SeenJob } from "./SeenJob.ts"
import { awaitsPods, isOwn, lacksPods, leftOver, type Sight } from "./Sight.ts"
import { isSaid, statusOf } from "./Status.ts"

export type Action =
  /** Read the PaymentJob from the API server itself, and its Job where it has had one. */
  | { readonly _tag: "LookAgain" }
  /** Read its pods from the API server itself. */
  | { readonly _tag: "LookAtPods" }
  /** Ask what keeps its Job from having pods. */
  | { readonly _tag: "LookAtEvents" }
  | { readonly _tag: "CreateJob"; readonly job: New<JobObject> }
  /** Only if it is as it was seen; or `anyVersion` of it, where no change of it could make that wrong. */
  | { readonly _tag: "PatchJob"; readonly job: SeenJob; readonly patch: MergePatch; readonly anyVersion?: true }
  /** An event on the PaymentJob: told once for each occurrence. */
  | { readonly _tag: "Tell"; readonly occurrence: Occurrence }
  | { readonly _tag: "PatchStatus"; readonly status: PaymentJobStatus }

export interface DecisionOptions extends JobOptions {
  /** As RFC 3339 writes it: what changes now changes then. */
  readonly now: string
}

/** What is to be done next; nothing if all is as it should be. */
export const decide = (sight: Sight, options: DecisionOptions): ReadonlyArray<Action> => {
  const { paymentJob } = sight
  if (paymentJob.isDeleting) return []
  if (hasEnded(paymentJob.status)) return afterTheEnd(sight, options)
  const wanted = wantedOfJob(sight, options)
  if (wanted !== undefined) return [wanted]
  return awaitsPods(sight) ? [] : report(sight, options)
}

const wantedOfJob = (sight: Sight, options: DecisionOptions): Action | undefined =>
  sight.job === undefined ? creation(sight, options) : correction(sight, sight.job)

const creation = (sight: Sight, options: DecisionOptions): Action | undefined => {
  const { arePodsLive, isLive, paymentJob, refusal } = sight
  const { flaw, spec, status } = paymentJob
  if (flaw !== undefined || spec.suspend === true || refusal !== undefined) return undefined
  if (leftOver(sight) !== undefined) return undefined
  // what is remembered may be old: finished, or deleted, or another of that name
  if (!isLive) return { _tag: "LookAgain" }
  // an earlier Job's pod that was not told of yet would have a second one beside it
  if (status.jobName !== undefined && arePodsLive !== true) return { _tag: "LookAtPods" }
  // that it had one and has none any more is on record first: so that it is told, whoever makes the next one
  if (status.jobName !== undefined && !saysNoJob(status)) return undefined
  return { _tag: "CreateJob", job: jobOf(paymentJob, spec, options) }
}

const correction = (sight: Sight, job: SeenJob): Action | undefined => {
  if (!isOwn(sight)) return undefined
  if (lacksPods(sight)) return { _tag: "LookAtPods" }
  const { flaw, name, spec } = sight.paymentJob
  if (job.isDeleting || job.end !== undefined || flaw !== undefined) return undefined
  if (!job.isLabelled) return { _tag: "PatchJob", job, patch: { metadata: { labels: labelsOf(name) } } }
  if (sight.isPodOverdue === true && sight.podlessness === undefined) return { _tag: "LookAtEvents" }
  return spec.suspend === true ? suspension(job) : resumption(job)
}

const suspension = (job: SeenJob): Action | undefined => {
  if (job.isSuspended) return undefined
  const metadata = { annotations: { [suspendedAnnotation]: "true" } }
  return { _tag: "PatchJob", job, patch: { metadata, spec: { suspend: true } } }
}

/** Of what we have suspended: a queue of the cluster's own may have reasons that we do not know. */
const resumption = (job: SeenJob): Action | undefined => {
  if (!job.isSuspendedByUs) return undefined
  const metadata = { annotations: { [suspendedAnnotation]: null } }
  return { _tag: "PatchJob", job, patch: { metadata, spec: { suspend: false } } }
}

const report = (sight: Sight, { now }: DecisionOptions): ReadonlyArray<Action> => {
  const before = sight.paymentJob.status
  const status = statusOf(sight, now)
  if (isSaid(before, status)) return []
  // told before it is written: what comes in between tells it again, which is the same event
  const tellings = occurrencesOf(sight, status).map((occurrence): Action => ({ _tag: "Tell", occurrence }))
  return [...tellings, { _tag: "PatchStatus", status }]
}

/**
 * The end is on record: only now may the Job's time to live begin, or it could be gone before anybody knew what came of
 * it.
 */
const afterTheEnd = (sight: Sight, { now }: DecisionOptions): ReadonlyArray<Action> => {
  const { job, paymentJob } = sight
  const seconds = paymentJob.spec.ttlSecondsAfterFinished
  // created by a request that was held up until somebody else had led the run to its end: nothing is left to do for it
  if (job !== undefined && isOwn(sight) && !job.isDeleting && job.end === undefined) {
    const late = suspension(job)
    if (late !== undefined) return [late]
  }
  if (job !== undefined && isOwn(sight) && !job.isDeleting && seconds !== undefined && job.secondsToLive !== seconds)
    // its controller may have a last word about it: what has ended stays so
    return [{ _tag: "PatchJob", job, patch: { spec: { ttlSecondsAfterFinished: seconds } }, anyVersion: true }]
  const { generation, status } = paymentJob
  if (status.observedGeneration === generation) return []
  const conditions = (status.conditions ?? []).map((condition) => ({ ...condition, observedGeneration: generation }))
  return [
    {
      _tag: "PatchStatus",
      status: { ...status, conditions, observedGeneration: generation, lastUpdateTime: now }
    }
  ]
}
