/** What happened to a PaymentJob, for people: each is told before the status that says it is written first. */
import type { PaymentJobStatus } from "./PaymentJob.ts"
import { isOwn, type Sight } from "./Sight.ts"
import type { Unreadable } from "./Surroundings.ts"

export interface Occurrence {
  readonly type: "Normal" | "Warning"
  readonly reason: string
  readonly message: string
  /** The same however often it is told; of something that happens again, another one. */
  readonly id: string
}

/** What the next status says that the one before did not. */
export const occurrencesOf = (sight: Sight, status: PaymentJobStatus): ReadonlyArray<Occurrence> => {
  const { job, paymentJob } = sight
  const before = paymentJob.status
  const message = status.message ?? ""
  const found: Array<Omit<Occurrence, "id">> = []
  if (status.jobName !== undefined && before.jobName === undefined)
    found.push({ type: "Normal", reason: "JobCreated", message: `created the Job ${status.jobName}` })
  else if (saysNoJob(before) && isOwn(sight) && job !== undefined)
    found.push({ type: "Warning", reason: "JobRecreated", message: `the Job ${job.name} was gone: created it again` })
  const stalled = reasonOf(status, "Stalled")
  if (stalled !== undefined && stalled !== reasonOf(before, "Stalled"))
    found.push({ type: "Warning", reason: stalled, message })
  if (appears("Suspended", before, status)) found.push({ type: "Normal", reason: "Suspended", message })
  if (appears("Suspended", status, before) && !isEnd(status))
    found.push({ type: "Normal", reason: "Resumed", message: "no longer suspended" })
  if (appears("SpecDrift", before, status))
    found.push({ type: "Warning", reason: "SpecDrift", message: messageOf(status, "SpecDrift") })
  if (status.phase === "Succeeded") found.push({ type: "Normal", reason: "JobSucceeded", message })
  if (status.phase === "Failed") found.push({ type: "Warning", reason: "JobFailed", message })
  return found.map((one) => ({ ...one, id: JSON.stringify([paymentJob.uid, job?.uid, one.reason, standing(before)]) }))
}

/** From which status it followed: words of the moment left out, since it may be told again in others. */
const standing = ({ lastUpdateTime, observedGeneration, phase }: PaymentJobStatus) => [
  lastUpdateTime,
  observedGeneration,
  phase
]

/** That one is left alone, since it may have ended. */
export const unreadableOf = ({ flaw, resourceVersion, uid }: Unreadable): Occurrence => ({
  type: "Warning",
  reason: "StatusInvalid",
  message: `left alone: its status cannot be read, and may say that it has ended: ${flaw}`,
  id: JSON.stringify([uid, resourceVersion])
})

/** Said of a PaymentJob whose Job is not there. */
const withoutJob: ReadonlySet<string | undefined> = new Set([
  "JobMissing",
  "PodLeftOver",
  "JobInvalid",
  "JobForbidden",
  "JobRefused"
])

/** Whether the status says that there is no Job any more. */
export const saysNoJob = ({ conditions, jobName }: PaymentJobStatus): boolean =>
  jobName !== undefined && conditions?.some(({ reason, type }) => type === "Ready" && withoutJob.has(reason)) === true

const isEnd = ({ phase }: PaymentJobStatus): boolean => phase === "Succeeded" || phase === "Failed"

const conditionOf = ({ conditions }: PaymentJobStatus, type: string) =>
  conditions?.find((condition) => condition.type === type && condition.status === "True")

const reasonOf = (status: PaymentJobStatus, type: string) => conditionOf(status, type)?.reason
const messageOf = (status: PaymentJobStatus, type: string) => conditionOf(status, type)?.message ?? ""

const appears = (type: string, before: PaymentJobStatus, after: PaymentJobStatus): boolean =>
  conditionOf(before, type) === undefined && conditionOf(after, type) !== undefined
