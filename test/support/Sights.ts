/** Any sight of a PaymentJob, for the laws of the decision: of any Job, any pods, any status that may have been written. */
import { Schema } from "effect"
import type { JobObject } from "../../src/domain/ClusterObjects.ts"
import { merged } from "../../src/domain/MergePatch.ts"
import { type Action, decide } from "../../src/operator/Decision.ts"
import { specHashOf, suspendedAnnotation } from "../../src/operator/JobSpec.ts"
import { type PaymentJob, phases } from "../../src/operator/PaymentJob.ts"
import { type SeenJob, seenJob } from "../../src/operator/SeenJob.ts"
import type { SeenPod } from "../../src/operator/SeenPod.ts"
import type { Sight } from "../../src/operator/Sight.ts"
import { namespace, spec } from "./PaymentJobs.ts"

export const now = "2026-01-01T00:00:00Z"
export const later = "2026-01-02T00:00:00Z"
export const options = { imagePullPolicy: "IfNotPresent", now } as const

const AnyJob = Schema.Struct({
  owner: Schema.Literals(["own", "own", "earlier", "other", "none"]),
  active: Schema.Literals([0, 1, 2]),
  end: Schema.Literals(["none", "none", "Succeeded", "Failed"]),
  isDeleting: Schema.Boolean,
  isLabelled: Schema.Boolean,
  isSuspended: Schema.Boolean,
  isSuspendedByUs: Schema.Boolean,
  isDrifted: Schema.Boolean,
  secondsToLive: Schema.Literals([0, 60])
})
const AnyPod = Schema.Struct({
  isOfJob: Schema.Boolean,
  state: Schema.Literals(["running", "stuck", "succeeded", "failed"]),
  isGone: Schema.Boolean,
  stored: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 }))
})
export const AnySight = Schema.Struct({
  job: Schema.Union([Schema.Null, AnyJob]),
  pods: Schema.Array(AnyPod).check(Schema.isMaxLength(3)),
  phase: Schema.Literals(["none", ...phases]),
  suspend: Schema.Boolean,
  secondsToLive: Schema.Literals(["none", 60]),
  isLive: Schema.Boolean,
  isDeleting: Schema.Boolean,
  isRefused: Schema.Boolean,
  isFlawed: Schema.Boolean,
  hasHadJob: Schema.Boolean,
  isPodOverdue: Schema.Boolean
})

export const uid = "uid of this one"
const owners = {
  own: { name: "one", uid },
  earlier: { name: "one", uid: "uid of an earlier one" },
  other: { name: "other", uid: "uid of another" },
  none: undefined
}

/** A Job that was seen. */
export const jobOf = (any: typeof AnyJob.Type): SeenJob => ({
  name: "one-job",
  namespace,
  uid: "uid of the job",
  resourceVersion: "1",
  owner: owners[any.owner],
  isDeleting: any.isDeleting,
  isLabelled: any.isLabelled,
  specHash: any.isDrifted ? "another" : specHashOf(spec),
  isSuspended: any.isSuspended,
  isSuspendedByUs: any.isSuspendedByUs,
  secondsToLive: any.secondsToLive === 0 ? undefined : any.secondsToLive,
  active: any.active,
  succeeded: any.end === "Succeeded" ? 1 : 0,
  failed: any.end === "Failed" ? 1 : 0,
  startTime: now,
  end: any.end === "none" ? undefined : { outcome: any.end, reason: "Because", message: "of it", at: now }
})

const podOf = (any: typeof AnyPod.Type, index: number): SeenPod => ({
  name: `pod-${index}`,
  namespace,
  uid: `uid of pod ${index}`,
  resourceVersion: "1",
  jobUid: any.isOfJob ? "uid of the job" : "uid of an earlier job",
  isFinished: any.state === "succeeded" || any.state === "failed",
  isGone: any.isGone && any.state !== "running" && any.state !== "stuck",
  graceMillis: undefined,
  overdueAt: undefined,
  succeeded: any.state === "succeeded",
  trouble: any.state === "stuck" ? { reason: "SecretMissing", message: "not found" } : undefined,
  exitCode: any.state === "failed" ? 3 : undefined,
  finishedAt: now,
  result: { stored: any.stored, duplicates: 0, deadLettered: 0 },
  resultOfRun: uid
})

/** What was seen. */
export const sightOf = (any: typeof AnySight.Type): Sight => {
  const { hasHadJob, isDeleting, isFlawed, isLive, isPodOverdue, isRefused, job, phase, pods, secondsToLive, suspend } =
    any
  const paymentJob: PaymentJob = {
    name: "one",
    namespace,
    uid,
    resourceVersion: "1",
    generation: 1,
    createdAt: now,
    isDeleting,
    spec: {
      ...spec,
      ...(suspend ? { suspend } : {}),
      ...(secondsToLive === "none" ? {} : { ttlSecondsAfterFinished: secondsToLive })
    },
    ...(isFlawed ? { flaw: "it is no text" } : {}),
    status: { ...(phase === "none" ? {} : { phase }), ...(hasHadJob ? { jobName: "one-job" } : {}) }
  }
  return {
    paymentJob,
    isLive,
    job: job === null ? undefined : jobOf(job),
    pods: pods.map(podOf),
    // of a Job that was seen
    isPodOverdue: isPodOverdue && job !== null,
    ...(isRefused ? { refusal: { reason: "JobRefused", message: "no" } as const } : {})
  }
}

/** What an action makes of what is seen, where nothing else happens and everything is granted. */
const after = (sight: Sight, action: Action): Sight => {
  switch (action._tag) {
    case "LookAgain":
      return { ...sight, isLive: true }
    case "LookAtPods":
      return { ...sight, arePodsLive: true }
    case "LookAtEvents":
      return { ...sight, podlessness: { message: "exceeded quota" } }
    case "CreateJob":
      return { ...sight, job: seenJob(asObject(action.job)) }
    case "PatchJob":
      return { ...sight, job: patched(action.job, action.patch) }
    case "PatchStatus":
      return { ...sight, paymentJob: { ...sight.paymentJob, status: action.status } }
    case "Tell":
      return sight
  }
}

const asObject = (job: Extract<Action, { readonly _tag: "CreateJob" }>["job"]): JobObject => ({
  ...job,
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { ...job.metadata, uid: "uid of the new job", resourceVersion: "2", creationTimestamp: now }
})

const patched = (job: SeenJob, patch: Record<string, unknown>): SeenJob => {
  const annotations = job.isSuspendedByUs ? { [suspendedAnnotation]: "true" } : {}
  const { metadata, spec } = merged({ metadata: { annotations }, spec: {} }, patch) as {
    readonly metadata: { readonly labels?: unknown; readonly annotations: Record<string, unknown> }
    readonly spec: { readonly suspend?: boolean; readonly ttlSecondsAfterFinished?: number }
  }
  return {
    ...job,
    isLabelled: job.isLabelled || metadata.labels !== undefined,
    isSuspended: spec.suspend ?? job.isSuspended,
    isSuspendedByUs: suspendedAnnotation in metadata.annotations,
    secondsToLive: spec.ttlSecondsAfterFinished ?? job.secondsToLive
  }
}

/** What one step makes of it, at a time. */
export const step = (sight: Sight, at = now): Sight => decide(sight, { ...options, now: at }).reduce(after, sight)

/** What comes of it, and how many steps that took. */
export const settled = (sight: Sight): { readonly sight: Sight; readonly steps: number } => {
  let current = sight
  for (let steps = 0; steps < 10; steps += 1) {
    if (decide(current, options).length === 0) return { sight: current, steps }
    current = step(current)
  }
  return { sight: current, steps: 10 }
}

export const actionsOf = (any: typeof AnySight.Type): ReadonlyArray<Action> => decide(sightOf(any), options)
export const runs = { arbitrary: { runs: 2_000, size: 20 } }

/** A Job of ours that gives no cause for anything. */
export const quietJob = {
  owner: "own",
  active: 0,
  end: "none",
  isDeleting: false,
  isLabelled: true,
  isSuspended: false,
  isSuspendedByUs: false,
  isDrifted: false,
  secondsToLive: 0
} as const
/** The same of all else. */
export const quiet: typeof AnySight.Type = {
  job: quietJob,
  pods: [],
  phase: "none",
  suspend: false,
  secondsToLive: "none",
  isLive: false,
  isDeleting: false,
  isRefused: false,
  isFlawed: false,
  hasHadJob: false,
  isPodOverdue: false
}
