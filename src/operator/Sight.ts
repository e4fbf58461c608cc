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
  /** Whether it was read from the API server itself just now, and not remembered. */
  readonly isLive: boolean
  /** Of that name in that namespace, whoever's it is. */
  readonly job: SeenJob | undefined
  /** Of any Job for that PaymentJob. */
  readonly pods: ReadonlyArray<SeenPod>
  /** The same for the pods. */
  readonly arePodsLive?: boolean
  /** What came of asking for a Job just now. */
  readonly refusal?: Refusal
  /** The Job was created just now. */
  readonly isNew?: boolean
}

/** Whether the PaymentJob controls the Job that was seen. */
export const isOwn = ({ job, paymentJob }: Pick<Sight, "job" | "paymentJob">): boolean =>
  job?.owner?.uid === paymentJob.uid

/** A pod of an earlier Job that may still be at work: a second one beside it is not wanted. */
export const leftOver = ({ job, pods }: Pick<Sight, "job" | "pods">): SeenPod | undefined =>
  job === undefined ? pods.find(({ isFinished }) => !isFinished) : undefined

/** A Job that is not ours, and no trace of an earlier PaymentJob either: nobody tells us when it goes. */
export const isForeign = (sight: Pick<Sight, "job" | "paymentJob">): boolean => sight.job !== undefined && !isOwn(sight)

/** The Job has ended, and has had more pods than were seen: those that are missing may tell how. */
export const lacksPods = ({ arePodsLive, job, pods }: Sight): boolean => {
  if (job?.end === undefined || arePodsLive === true) return false
  const finished = pods.filter(({ isFinished, jobUid }) => isFinished && jobUid === job.uid)
  return job.end.outcome === "Succeeded"
    ? finished.filter(({ succeeded }) => succeeded).length < job.succeeded
    : finished.length === 0 && job.failed > 0
}
