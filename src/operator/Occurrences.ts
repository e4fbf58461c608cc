/** What happened to a PaymentJob, for people: each is told when the status that says it is written first. */
import type { PaymentJobStatus } from "./PaymentJob.ts"
import type { Sight } from "./Sight.ts"

export interface Occurrence {
  readonly type: "Normal" | "Warning"
  readonly reason: string
  readonly message: string
  /** The same for the same occurrence, however often it is seen. */
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
  else if (sight.isNew === true && job !== undefined)
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
  return found.map((one) => ({ ...one, id: [paymentJob.uid, job?.uid, one.reason, one.message].join(" ") }))
}

const isEnd = ({ phase }: PaymentJobStatus): boolean => phase === "Succeeded" || phase === "Failed"

const conditionOf = ({ conditions }: PaymentJobStatus, type: string) =>
  conditions?.find((condition) => condition.type === type && condition.status === "True")

const reasonOf = (status: PaymentJobStatus, type: string) => conditionOf(status, type)?.reason
const messageOf = (status: PaymentJobStatus, type: string) => conditionOf(status, type)?.message ?? ""

const appears = (type: string, before: PaymentJobStatus, after: PaymentJobStatus): boolean =>
  conditionOf(before, type) === undefined && conditionOf(after, type) !== undefined
