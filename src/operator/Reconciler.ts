/** One look at a PaymentJob: what is known of it, the decision, and its actions, until nothing is left to do. */
import { Clock, DateTime, Duration, Effect, Result, Schema } from "effect"
import type { ClusterError } from "../domain/ClusterError.ts"
import type { EventObject, JobObject, New, PaymentJobObject } from "../domain/ClusterObjects.ts"
import { printable, shortened } from "../domain/Printable.ts"
import { Cluster } from "../domain/ports/Cluster.ts"
import { monotonicMillis } from "../streams/OwnClock.ts"
import { type Action, decide } from "./Decision.ts"
import { type Concerned, eventOf } from "./Events.ts"
import { type JobOptions, nameLabel, selector } from "./JobSpec.ts"
import type { Leadership, NotLeading } from "./Leadership.ts"
import { jobNameOf, labelOf } from "./Names.ts"
import { type Occurrence, unreadableOf } from "./Occurrences.ts"
import * as Metrics from "./OperatorMetrics.ts"
import { hasEnded, type PaymentJob, type PaymentJobStatus, read } from "./PaymentJob.ts"
import { type SeenJob, seenJob } from "./SeenJob.ts"
import { asOf, counted, type SeenPod, seenPod } from "./SeenPod.ts"
import { nextLookAt, type Refusal, type Sight } from "./Sight.ts"
import type { Surroundings, Unreadable } from "./Surroundings.ts"

/** The decision asks for more and more: something else changes what we have changed. */
export class NotSettled extends Schema.TaggedError<NotSettled>()("NotSettled", { asked: Schema.Array(Schema.String) }) {
  override get message(): string {
    return `it did not come to rest: ${this.asked.join(", ")} is asked for again and again`
  }
}

export type ReconcileError = ClusterError | NotLeading | NotSettled

export interface ReconcilerOptions extends JobOptions {
  readonly surroundings: Surroundings
  /** Around each change: whoever leads no more may not have been stopped yet. */
  readonly ifLeading: Leadership["ifLeading"]
}

/** What was not found is told as deleted by then, or is looked at again: it may be there all the same. */
const deletionToldWithin = Duration.seconds(10)

/**
 * A new Job has a pod within that, as a rule, which is told: its status then says all in one write. Others, which may have
 * no Job yet, are looked at meanwhile.
 */
const podSeenWithin = Duration.seconds(1)

/** More than the decision ever asks for; what keeps changing meanwhile is looked at again. */
const mostSteps = 8

/** What came of a look; `after` is when to look again though nothing may have changed. */
export interface Looked {
  readonly after: Duration.Duration | undefined
}

/** What is known while one looks; the failure is told once the status says it. */
interface Look {
  readonly sight: Sight
  /** Just created, and not one that was found there. */
  readonly isJobNew?: true
  readonly failure?: ClusterError
}

/** Looks at one, by its key. */
export const reconciler = (options: ReconcilerOptions) =>
  Effect.map(Cluster, (cluster) => {
    const perform = performer(cluster, options)
    const { surroundings } = options
    return Effect.fnUntraced(function* (key: string): Effect.fn.Return<Looked, ReconcileError> {
      const unreadable = surroundings.unreadable.get(key)
      if (unreadable !== undefined) return yield* leaveAlone(options.ifLeading, cluster, unreadable)
      const first = surroundings.sightOf(key, yield* monotonicMillis)
      let look: Look | undefined = first && { sight: first }
      for (let step = 0; look !== undefined; step += 1) {
        const actions = decide(look.sight, { ...options, now: yield* now })
        if (actions.length === 0) break
        if (step === mostSteps) return yield* new NotSettled({ asked: actions.map(({ _tag }) => _tag) })
        for (const action of actions) look = look && (yield* perform(look, action))
        if (look?.isJobNew === true) return { after: podSeenWithin }
      }
      if (look?.failure !== undefined) return yield* look.failure
      if (look === undefined) return { after: first && deletionToldWithin }
      return { after: untilNextLook(look.sight, yield* monotonicMillis) }
    })
  })

/** Kubernetes forgets events after an hour: what is so still is told again then, and is the same event before. */
const toldAgainAfter = Duration.hours(1)

/** Nothing is done about it, nor written over it. */
const leaveAlone = (change: Leadership["ifLeading"], cluster: Cluster["Service"], unreadable: Unreadable) =>
  Effect.gen(function* () {
    const occurrence = unreadableOf(unreadable)
    yield* Effect.logError(occurrence.message)
    yield* tell(change, cluster, unreadable, occurrence)
    return { after: toldAgainAfter } satisfies Looked
  })

const untilNextLook = (sight: Sight, nowMillis: number): Duration.Duration | undefined => {
  const at = nextLookAt(sight, nowMillis)
  return at === undefined ? undefined : Duration.millis(at - nowMillis)
}

const now = Effect.map(DateTime.now, (time) => DateTime.formatIso(time).replace(/\.\d+/, ""))

const nameOf = ({ name, namespace }: PaymentJob) => ({ name, namespace })

/** What is read from the API server itself. */
const readers = (cluster: Cluster["Service"], surroundings: Surroundings) => {
  const lookAgain = ({ sight }: Look) =>
    Effect.gen(function* () {
      const { name, namespace } = sight.paymentJob
      const object = yield* found(cluster.get("PaymentJob", { name, namespace }))
      const paymentJob = object && Result.getOrUndefined(read(object, sight.paymentJob))
      // what was created may not have been told of yet: only who has had a Job can have lost it
      const hasHadJob = paymentJob?.status.jobName !== undefined
      const live = hasHadJob ? yield* found(cluster.get("Job", { name: jobNameOf(name), namespace })) : undefined
      const job = live && seenJob(live)
      // may be gone before a watch tells of it
      if (job !== undefined) surroundings.jobs.answered(job, yield* monotonicMillis)
      return paymentJob && ({ sight: { ...sight, paymentJob, job, isLive: true } } satisfies Look)
    })

  const lookAtPods = ({ sight }: Look) => {
    const { name, namespace } = sight.paymentJob
    const labels = `${selector},${nameLabel}=${labelOf(name)}`
    return Effect.gen(function* () {
      const listed = yield* cluster.list("Pod", { namespaces: [namespace], labels })
      const millis = yield* monotonicMillis
      const known = new Map(sight.pods.map((pod) => [pod.name, pod]))
      const pods = listed.map(seenPod).map((pod) => asOf(counted(pod, known.get(pod.name), millis), millis))
      const names = new Set(pods.map(({ name }) => name))
      const gone = sight.pods
        .filter(({ name }) => !names.has(name))
        .map((pod) => ({ ...pod, isGone: true, overdueAt: undefined }))
      return { sight: { ...sight, pods: [...pods, ...gone], arePodsLive: true } } satisfies Look
    })
  }

  const lookAtEvents = (look: Look, { namespace, uid }: SeenJob) => {
    const fields = `involvedObject.uid=${uid},reason=FailedCreate`
    return Effect.map(cluster.list("Event", { namespaces: [namespace], fields }), (events): Look => {
      return { ...look, sight: { ...look.sight, podlessness: { message: hindranceIn(events, look.sight.pods) } } }
    })
  }
  return { lookAgain, lookAtPods, lookAtEvents }
}

/** What was said last of a pod that could not be made, since there was one. */
const hindranceIn = (events: ReadonlyArray<EventObject>, pods: ReadonlyArray<SeenPod>): string | undefined => {
  const since =
    pods
      .map(({ finishedAt = "" }) => finishedAt)
      .toSorted()
      .at(-1) ?? ""
  const [latest] = events
    .filter(({ lastTimestamp }) => (lastTimestamp ?? "") > since)
    .toSorted((one, other) => (other.lastTimestamp ?? "").localeCompare(one.lastTimestamp ?? ""))
  return latest && shortened(printable(latest.message), longestHindrance)
}

const longestHindrance = 300

const performer = (cluster: Cluster["Service"], options: ReconcilerOptions) => {
  const { ifLeading: change, surroundings } = options
  const { lookAgain, lookAtEvents, lookAtPods } = readers(cluster, surroundings)

  const withJob = (look: Look, object: JobObject) =>
    Effect.map(monotonicMillis, (millis): Look => {
      const job = seenJob(object)
      surroundings.jobs.answered(job, millis)
      return { ...look, sight: { ...look.sight, job } }
    })

  const create = (look: Look, job: New<JobObject>) =>
    change(cluster.create("Job", job)).pipe(
      Effect.tap(() => createdJob(look.sight.paymentJob)),
      Effect.flatMap((object) => withJob({ ...look, isJobNew: true }, object)),
      Effect.catchTag("ClusterError", (error): Effect.Effect<Look, ReconcileError> => {
        // somebody was faster, or our own answer was lost: whose it is decides what is said
        if (error.reason._tag === "AlreadyExists")
          return Effect.flatMap(cluster.get("Job", job.metadata), (object) => withJob(look, object))
        const refusal = refusalOf(error)
        return refusal === undefined
          ? Effect.fail(error)
          : Effect.succeed({ sight: { ...look.sight, refusal }, failure: error })
      })
    )

  const patchJob = (look: Look, { anyVersion, job, patch }: Extract<Action, { readonly _tag: "PatchJob" }>) => {
    const { name, namespace, resourceVersion, uid } = job
    const seen = { name, namespace, uid, ...(anyVersion ? {} : { resourceVersion }) }
    return Effect.flatMap(change(cluster.patch("Job", seen, patch)), (object) => withJob(look, object))
  }

  const patchStatus = (look: Look, status: PaymentJobStatus) => {
    const { paymentJob } = look.sight
    const { resourceVersion, uid } = paymentJob
    const patch = change(cluster.patchStatus("PaymentJob", { ...nameOf(paymentJob), resourceVersion, uid }, { status }))
    return Effect.flatMap(patch, (object) => afterStatus(look, object, status))
  }

  const afterStatus = Effect.fnUntraced(function* (look: Look, object: PaymentJobObject, status: PaymentJobStatus) {
    const before = look.sight.paymentJob
    yield* logChange(before, status)
    const written = Result.getOrUndefined(read(object, before))
    if (written === undefined) return undefined
    surroundings.paymentJobs.answered(written, yield* monotonicMillis)
    return { ...look, sight: { ...look.sight, paymentJob: written } }
  })

  return (look: Look, action: Action): Effect.Effect<Look | undefined, ReconcileError> => {
    switch (action._tag) {
      case "LookAgain":
        return lookAgain(look)
      case "LookAtPods":
        return lookAtPods(look)
      case "LookAtEvents":
        return look.sight.job === undefined ? Effect.succeed(look) : lookAtEvents(look, look.sight.job)
      case "CreateJob":
        return create(look, action.job)
      case "PatchJob":
        return patchJob(look, action)
      case "PatchStatus":
        return patchStatus(look, action.status)
      case "Tell":
        return Effect.as(tell(change, cluster, look.sight.paymentJob, action.occurrence), look)
    }
  }
}

/**
 * An API server that is away or busy is asked again, before anything else is written: what is not told then never is.
 * What the cluster does not take (a quota, a permission) is for people only, and holds nothing up.
 */
const tell = (
  change: Leadership["ifLeading"],
  cluster: Cluster["Service"],
  paymentJob: Concerned,
  occurrence: Occurrence
) =>
  Effect.gen(function* () {
    const event = eventOf(paymentJob, occurrence, yield* now)
    yield* Effect.catchTag(change(cluster.create("Event", event)), "ClusterError", (error) => {
      const { _tag } = error.reason
      if (_tag === "AlreadyExists") return Effect.void
      if (_tag === "ClusterAway" || _tag === "TooManyRequests") return Effect.fail(error)
      return Effect.logWarning(`the event ${occurrence.reason} was not told: ${error.message}`)
    })
  })

/** Nothing, where there is no such object. */
const found = <A>(effect: Effect.Effect<A, ClusterError>): Effect.Effect<A | undefined, ClusterError> =>
  Effect.catchIf(
    effect,
    (error) => error.reason._tag === "NotFound",
    () => Effect.undefined
  )

const refusals: Readonly<Record<string, Refusal["reason"]>> = {
  Invalid: "JobInvalid",
  Forbidden: "JobForbidden",
  Refused: "JobRefused"
}

const refusalOf = (error: ClusterError): Refusal | undefined => {
  const reason = refusals[error.reason._tag]
  return reason && { reason, message: `its Job was not taken: ${error.message}` }
}

const createdJob = (paymentJob: PaymentJob) =>
  Effect.gen(function* () {
    const since = (yield* Clock.currentTimeMillis) - Date.parse(paymentJob.createdAt)
    yield* Metrics.created(since)
    yield* Effect.logInfo(`created the Job ${jobNameOf(paymentJob.name)}`)
  })

const logChange = (before: PaymentJob, status: PaymentJobStatus) =>
  Effect.gen(function* () {
    const ended = hasEnded(status) && !hasEnded(before.status)
    if (ended) yield* Metrics.endedAs(status.phase ?? "")
    if (before.status.phase === status.phase && before.status.message === status.message) return
    yield* Effect.logInfo(`${status.phase}: ${status.message}`)
  })
