/** What was seen of a PaymentJob and of what belongs to it. */
import type { PaymentJob } from "./PaymentJob.ts"
import type { SeenJob } from "./SeenJob.ts"
import type { SeenPod } from "./SeenPod.ts"

/** Why the API server did not take the Job. */
export interface Refusal {
  readonly reason: "JobInvalid" | "JobForbidden" | "JobRefused"
  readonly message: string
}

export interface Sight {
  readonly paymentJob: PaymentJob
  /** Whether it, and its Job where it has had one, were read from the API server itself just now, and not remembered. */
  readonly isLive: boolean
  /** Of that name in that namespace, whoever's it is. */
  readonly job: SeenJob | undefined
  /** Of any Job for that PaymentJob. */
  readonly pods: ReadonlyArray<SeenPod>
  /** The same for the pods. */
  readonly arePodsLive?: boolean
  /** Its Job should have had a pod by now. */
  readonly isPodOverdue?: boolean
  /** When a Job without a pod is a matter to look into, in milliseconds of our own clock. */
  readonly podDueAt?: number | undefined
  /** What the cluster's own controller says of that: asked for just now. */
  readonly podlessness?: { readonly message: string | undefined }
  /** What came of asking for a Job just now. */
  readonly refusal?: Refusal
}

/** Whether the PaymentJob controls the Job that was seen. */
export const isOwn = ({ job, paymentJob }: Pick<Sight, "job" | "paymentJob">): boolean =>
  job?.owner?.uid === paymentJob.uid

/** A pod of an earlier Job that may still be at work: a second one beside it is not wanted. */
export const leftOver = ({ job, pods }: Pick<Sight, "job" | "pods">): SeenPod | undefined =>
  job === undefined ? pods.find(({ isFinished, isGone }) => !isFinished && !isGone) : undefined

const podsOf = ({ pods }: Pick<Sight, "pods">, job: SeenJob): ReadonlyArray<SeenPod> =>
  pods.filter(({ jobUid }) => jobUid === job.uid)

/** The Job has ended, and has had more pods than were seen to end: those that are missing may tell how. */
export const lacksPods = (sight: Sight): boolean => {
  const { arePodsLive, job } = sight
  if (job?.end === undefined || arePodsLive === true) return false
  const finished = podsOf(sight, job).filter(({ isFinished }) => isFinished)
  return job.end.outcome === "Succeeded"
    ? finished.filter(({ succeeded }) => succeeded).length < job.succeeded
    : finished.length === 0 && (job.failed > 0 || podsOf(sight, job).length > 0)
}

/** The Job has ended, and a pod of it went without our being told yet: that is going to say how. */
export const awaitsPods = (sight: Sight): boolean =>
  sight.job?.end !== undefined && podsOf(sight, sight.job).some(({ isFinished, isGone }) => isGone && !isFinished)

/** A Job that is to run, that its controller has taken up, and that has no pod: until then nothing is said of it. */
export const isPodless = (sight: Pick<Sight, "job" | "paymentJob" | "pods">): boolean => {
  const { job, paymentJob } = sight
  if (job === undefined || !isOwn(sight) || job.end !== undefined || job.isDeleting) return false
  if (job.isSuspended || paymentJob.spec.suspend === true || job.active > 0 || job.startTime === undefined) return false
  return podsOf(sight, job).every(({ isFinished }) => isFinished)
}

/** When it is to be looked at again though nobody tells of a change, in milliseconds; `undefined` is not at all. */
export const nextLookAt = (sight: Sight, nowMillis: number): number | undefined => {
  if (sight.job !== undefined && !isOwn(sight)) return nowMillis + foreignEveryMillis
  const { podDueAt } = sight
  const dues = [podDueAt === undefined || podDueAt > nowMillis ? podDueAt : nowMillis + podlessEveryMillis]
  for (const { overdueAt } of sight.pods) dues.push(overdueAt)
  const open = dues.filter((due) => due !== undefined && due > nowMillis) as ReadonlyArray<number>
  return open.length === 0 ? undefined : Math.min(...open)
}

/** A Job that is not ours goes without our being told. */
const foreignEveryMillis = 60_000
/** Events of Jobs are asked for, and not watched. */
const podlessEveryMillis = 30_000
