/** The decision's laws, for any sight: of any Job, any pods and any status that may have been written before. */
import { assert, describe, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import type { JobObject, PaymentJobObject } from "../../src/domain/ClusterObjects.ts"
import { merged } from "../../src/domain/MergePatch.ts"
import { type Action, decide } from "../../src/operator/Decision.ts"
import { specHashOf, suspendedAnnotation } from "../../src/operator/JobSpec.ts"
import { hasEnded, type PaymentJob, phases, read } from "../../src/operator/PaymentJob.ts"
import { type SeenJob, seenJob } from "../../src/operator/SeenJob.ts"
import type { SeenPod } from "../../src/operator/SeenPod.ts"
import { isOwn, type Sight } from "../../src/operator/Sight.ts"
import { namespace, spec } from "../support/PaymentJobs.ts"

const now = "2026-01-01T00:00:00Z"
const later = "2026-01-02T00:00:00Z"
const options = { imagePullPolicy: "IfNotPresent", now } as const

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
const AnySight = Schema.Struct({
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

const uid = "uid of this one"
const owners = {
  own: { name: "one", uid },
  earlier: { name: "one", uid: "uid of an earlier one" },
  other: { name: "other", uid: "uid of another" },
  none: undefined
}

const jobOf = (any: typeof AnyJob.Type): SeenJob => ({
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
  createdAt: now,
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
  deletedBy: undefined,
  succeeded: any.state === "succeeded",
  trouble: any.state === "stuck" ? { reason: "SecretMissing", message: "not found" } : undefined,
  exitCode: any.state === "failed" ? 3 : undefined,
  finishedAt: now,
  result: { stored: any.stored, duplicates: 0, deadLettered: 0 },
  resultOfRun: uid
})

const sightOf = (any: typeof AnySight.Type): Sight => {
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
    isPodOverdue,
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
      return { ...sight, job: seenJob(asObject(action.job)), isNew: true }
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

const step = (sight: Sight, at = now): Sight => decide(sight, { ...options, now: at }).reduce(after, sight)

/** What comes of it, and how many steps that took. */
const settled = (sight: Sight): { readonly sight: Sight; readonly steps: number } => {
  let current = sight
  for (let steps = 0; steps < 10; steps += 1) {
    if (decide(current, options).length === 0) return { sight: current, steps }
    current = step(current)
  }
  return { sight: current, steps: 10 }
}

const actionsOf = (any: typeof AnySight.Type): ReadonlyArray<Action> => decide(sightOf(any), options)
const runs = { arbitrary: { runs: 2_000, size: 20 } }

describe("The decision", () => {
  it.prop(
    "comes to rest within five steps, whatever was seen",
    { any: AnySight },
    ({ any }) => assert.isAtMost(settled(sightOf(any)).steps, 5),
    runs
  )

  it.prop(
    "writes nothing when only the time is another",
    { any: AnySight },
    ({ any }) => {
      const { sight } = settled(sightOf(any))
      assert.deepStrictEqual(decide(sight, { ...options, now: later }), [])
    },
    runs
  )

  it.prop(
    "creates a Job only where none is seen, for a PaymentJob that was read just now, has not ended and stays",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      const creates = decide(sight, options).some(({ _tag }) => _tag === "CreateJob")
      if (creates) assert.isTrue(sight.isLive && sight.job === undefined && !sight.paymentJob.isDeleting)
      if (creates) assert.isFalse(hasEnded(sight.paymentJob.status))
      assert.isAtMost(actionsOf(any).filter(({ _tag }) => _tag === "CreateJob").length, 1)
    },
    runs
  )

  it.prop(
    "never leads from an end to a Job, nor to another end",
    { any: AnySight, end: Schema.Literals(["Succeeded", "Failed"]) },
    ({ any, end }) => {
      const { sight } = settled(sightOf({ ...any, phase: end }))
      assert.strictEqual(sight.paymentJob.status.phase, end)
      assert.isUndefined(sight.isNew)
    },
    runs
  )

  it.prop(
    "leaves no Job at work that came after the end",
    { any: AnySight, end: Schema.Literals(["Succeeded", "Failed"]) },
    ({ any, end }) => {
      const { job, paymentJob } = settled(sightOf({ ...any, phase: end })).sight
      const isAtWork = job?.owner?.uid === uid && !job.isDeleting && job.end === undefined && !job.isSuspended
      if (!paymentJob.isDeleting) assert.isFalse(isAtWork)
    },
    runs
  )

  it.prop(
    "resumes only what it has suspended itself, and does not argue",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      for (const action of decide(sight, options))
        if (action._tag === "PatchJob" && (action.patch["spec"] as { suspend?: boolean })?.suspend === false)
          assert.isTrue(sight.job?.isSuspendedByUs)
    },
    runs
  )

  it.prop(
    "makes nothing of a spec that it cannot read, and says so",
    { any: AnySight },
    ({ any }) => {
      const { sight } = settled(sightOf({ ...any, isFlawed: true, isDeleting: false, phase: "none", job: null }))
      assert.isUndefined(sight.job)
      assert.strictEqual(
        sight.paymentJob.status.conditions?.find(({ type }) => type === "Stalled")?.reason,
        "SpecInvalid"
      )
    },
    runs
  )

  it.prop(
    "touches no Job that another object controls",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      const touched = decide(sight, options).filter(({ _tag }) => _tag === "PatchJob")
      if (!isOwn(sight)) assert.deepStrictEqual(touched, [])
    },
    runs
  )

  it.prop(
    "never goes back to an earlier phase, whatever is seen next",
    { sights: Schema.Array(AnySight).check(Schema.isMaxLength(6)) },
    ({ sights }) => {
      let status: PaymentJob["status"] = {}
      const seen = sights.map((any) => {
        const sight = sightOf(any)
        status = settled({ ...sight, paymentJob: { ...sight.paymentJob, status } }).sight.paymentJob.status
        return Math.min(2, phases.indexOf(status.phase ?? "Pending"))
      })
      assert.deepStrictEqual(
        seen,
        seen.toSorted((one, other) => one - other)
      )
    },
    runs
  )

  it.prop(
    "does nothing for a PaymentJob that is being deleted",
    { any: AnySight },
    ({ any }) => assert.deepStrictEqual(actionsOf({ ...any, isDeleting: true }), []),
    runs
  )

  it("keeps what others say in the conditions", () => {
    const foreign = { type: "Audited", status: "True", reason: "ByHand", message: "seen" } as const
    const sight = sightOf({ ...quiet, phase: "none" })
    const status = { conditions: [foreign] }
    const next = settled({ ...sight, paymentJob: { ...sight.paymentJob, status } }).sight.paymentJob.status
    assert.deepStrictEqual(next.conditions?.at(-1), foreign)
  })

  it("says since when something is so, and not when it was seen again", () => {
    const pending = settled(sightOf(quiet)).sight
    const running = step({ ...pending, job: jobOf({ ...quietJob, active: 1 }) }, later)
    const since = new Map(
      running.paymentJob.status.conditions?.map(({ lastTransitionTime, type }) => [type, lastTransitionTime])
    )
    assert.deepStrictEqual([since.get("Ready"), since.get("Complete")], [later, now])
  })

  it("takes over a new generation after the end without touching anything else", () => {
    const { paymentJob } = settled(sightOf({ ...quiet, job: { ...quietJob, end: "Succeeded" } })).sight
    const edited = {
      ...sightOf({ ...quiet, job: { ...quietJob, end: "Succeeded" } }),
      paymentJob: { ...paymentJob, generation: 2 }
    }
    const [action, ...others] = decide(edited, options)
    assert.deepStrictEqual(others, [])
    assert.isTrue(action?._tag === "PatchStatus" && action.status.observedGeneration === 2)
    assert.isTrue(action?._tag === "PatchStatus" && action.status.phase === "Succeeded")
  })
})

describe("A PaymentJob", () => {
  const object = (fields: Partial<PaymentJobObject>): PaymentJobObject => ({
    apiVersion: "payments.example.com/v1alpha1",
    kind: "PaymentJob",
    metadata: { name: "one", namespace, uid, resourceVersion: "1", creationTimestamp: now },
    spec: { ...spec },
    ...fields
  })

  it("whose spec cannot be read is one with a flaw", () => {
    const { flaw, status } = Result.getOrThrow(read(object({ spec: { image: "x" }, status: { phase: "Failed" } })))
    assert.include(flaw, "queueName")
    assert.isTrue(hasEnded(status))
  })

  it("whose status cannot be read is no PaymentJob: it might be a latch", () => {
    assert.isTrue(Result.isSuccess(read(object({}))))
    assert.isTrue(Result.isFailure(read(object({ status: { phase: "Done" } }))))
  })

  it("has ended when its phase or its conditions say so", () => {
    assert.isTrue(hasEnded({ phase: "Failed" }))
    assert.isTrue(hasEnded({ conditions: [{ type: "Complete", status: "True" }] }))
    assert.isFalse(hasEnded({ phase: "Running", conditions: [{ type: "Complete", status: "False" }] }))
  })
})

const quietJob = {
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
const quiet: typeof AnySight.Type = {
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
