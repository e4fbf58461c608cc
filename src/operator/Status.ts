/** What is said of a PaymentJob, given what was seen. */
import { Schema } from "effect"
import { specHashOf } from "./JobSpec.ts"
import { PaymentJobStatus, type Phase, type RunResult } from "./PaymentJob.ts"
import type { JobEnd, SeenJob } from "./SeenJob.ts"
import type { SeenPod, Trouble } from "./SeenPod.ts"
import { isOwn, leftOver, type Sight } from "./Sight.ts"

/** How a PaymentJob that has not ended gets on. */
type Situation =
  | { readonly _tag: "Ended"; readonly end: JobEnd }
  /** Somebody has to do something. */
  | { readonly _tag: "Stuck"; readonly reason: string; readonly message: string }
  | { readonly _tag: "Suspended"; readonly message: string }
  | { readonly _tag: "Waiting"; readonly reason: string; readonly message: string }
  | { readonly _tag: "Active"; readonly message: string }

type StatusCondition = NonNullable<PaymentJobStatus["conditions"]>[number]

interface Said {
  readonly status: "True" | "False"
  readonly reason: string
  readonly message: string
}

/** The next status; times are `now` where something changed. */
export const statusOf = (sight: Sight, now: string): PaymentJobStatus => {
  const { job, paymentJob } = sight
  const before = paymentJob.status
  const situation = situationOf(sight)
  const own = isOwn(sight) ? job : undefined
  const end = situation._tag === "Ended" ? situation.end : undefined
  const result = end && resultOf(sight)
  const hasBegun = end !== undefined || situation._tag === "Active"
  const startTime = before.startTime ?? (hasBegun ? own?.startTime : undefined)
  return {
    ...before,
    phase: phaseOf(before.phase, sight, situation),
    ...(own === undefined ? {} : { jobName: own.name }),
    message: messageOf(situation, own),
    observedGeneration: paymentJob.generation,
    ...(startTime === undefined ? {} : { startTime }),
    ...(end === undefined ? {} : { completionTime: end.at ?? now }),
    ...(result === undefined ? {} : { result }),
    lastUpdateTime: now,
    conditions: conditionsOf(sight, situation, now)
  }
}

/** Whether there is nothing new in a status but times; and words, where others have many for one thing. */
export const isSaid = (before: PaymentJobStatus, status: PaymentJobStatus): boolean =>
  before.phase === status.phase &&
  (isSame(withoutTimes(before), withoutTimes(status)) ||
    (isWordy(status) && isFresh(before, status) && isSame(withoutWords(before), withoutWords(status))))

const isSame = Schema.toEquivalence(PaymentJobStatus)

/** Told in words that hold names and numbers of the moment. */
const wordyReasons: ReadonlySet<string | undefined> = new Set([
  "JobInvalid",
  "JobForbidden",
  "JobRefused",
  "PodsNotCreated",
  "Unschedulable"
])

const isWordy = ({ conditions }: PaymentJobStatus): boolean =>
  conditions?.some(({ reason, type }) => type === "Stalled" && wordyReasons.has(reason)) === true

/** How long such words stand before newer ones take their place. */
const wordsStandMillis = 600_000

const isFresh = (before: PaymentJobStatus, status: PaymentJobStatus): boolean =>
  Date.parse(status.lastUpdateTime ?? "") - Date.parse(before.lastUpdateTime ?? "") < wordsStandMillis

const withoutWords = (status: PaymentJobStatus) => {
  const { conditions, message: _, ...others } = withoutTimes(status)
  return { ...others, conditions: conditions.map(({ message: __, ...condition }) => condition) }
}

const withoutTimes = ({ completionTime: _, lastUpdateTime: __, ...status }: PaymentJobStatus) => ({
  ...status,
  conditions: (status.conditions ?? []).map(({ lastTransitionTime: ___, ...condition }) => condition)
})

const situationOf = (sight: Sight): Situation => {
  const { job, paymentJob, refusal } = sight
  if (job === undefined) {
    if (paymentJob.flaw !== undefined)
      return { _tag: "Stuck", reason: "SpecInvalid", message: `the spec cannot be read: ${paymentJob.flaw}` }
    if (paymentJob.spec.suspend === true) return suspendedBySpec
    if (refusal !== undefined) return { _tag: "Stuck", ...refusal }
    return ofNoJob(leftOver(sight))
  }
  return isOwn(sight) ? ofOwnJob(sight, job) : ofForeignJob(sight, job)
}

const suspendedBySpec: Situation = { _tag: "Suspended", message: "suspended: spec.suspend is true" }

const ofNoJob = (pod: SeenPod | undefined): Situation => {
  if (pod === undefined) return { _tag: "Waiting", reason: "JobMissing", message: "its Job is to be created" }
  const message = `the pod ${pod.name} of an earlier Job is to end first`
  return pod.trouble?.reason === "NodeLost"
    ? { _tag: "Stuck", reason: "NodeLost", message: `${message}: ${pod.trouble.message}` }
    : { _tag: "Waiting", reason: "PodLeftOver", message }
}

const ofForeignJob = ({ paymentJob }: Sight, job: SeenJob): Situation =>
  job.owner?.name === paymentJob.name
    ? {
        _tag: "Waiting",
        reason: "JobLeftOver",
        message: `the Job ${job.name} of an earlier PaymentJob of this name is to be removed first`
      }
    : {
        _tag: "Stuck",
        reason: "NameConflict",
        message: `there is a Job ${job.name} that is not of this PaymentJob: delete it, or use another name`
      }

const ofOwnJob = (sight: Sight, job: SeenJob): Situation => {
  const { paymentJob, pods } = sight
  const own = pods.filter(({ jobUid }) => jobUid === job.uid)
  if (job.end !== undefined) return { _tag: "Ended", end: withExit(job.end, exitOf(own)) }
  const troubles = troublesOf(own)
  const lost = troubles.find(({ trouble }) => trouble.reason === "NodeLost")
  if (lost !== undefined) return ofTrouble(sight, lost)
  if (job.isDeleting) return { _tag: "Waiting", reason: "JobDeleted", message: `the Job ${job.name} is being deleted` }
  if (paymentJob.spec.suspend === true) return suspendedBySpec
  if (job.isSuspended)
    return { _tag: "Suspended", message: `the Job ${job.name} is suspended: whoever did it resumes it` }
  const [stuck] = troubles
  return stuck === undefined ? ofFreeJob(sight, job, own) : ofTrouble(sight, stuck)
}

interface Troubled {
  readonly name: string
  readonly trouble: Trouble
}

const troublesOf = (pods: ReadonlyArray<SeenPod>): ReadonlyArray<Troubled> =>
  pods.flatMap(({ name, trouble }) => (trouble === undefined ? [] : [{ name, trouble }]))

const ofTrouble = ({ paymentJob }: Sight, { name, trouble: { message, reason } }: Troubled): Situation => {
  const what = reason === "ImagePullFailed" ? `${message}: ${paymentJob.spec.image}` : message
  const not = reason === "NodeLost" ? "does not end" : "does not start"
  return { _tag: "Stuck", reason, message: `the pod ${name} ${not}: ${what}` }
}

/** Nothing holds it up that we know of, unless it has no pod. */
const ofFreeJob = ({ paymentJob, podlessness }: Sight, job: SeenJob, own: ReadonlyArray<SeenPod>): Situation => {
  const hindrance = podlessness?.message
  if (hindrance !== undefined)
    return { _tag: "Stuck", reason: "PodsNotCreated", message: `the Job ${job.name} gets no pod: ${hindrance}` }
  const exit = exitOf(own)
  const again = exit === undefined ? "" : `; ${exit}, and is tried again`
  // between the end of its last pod and its own it has none, which is no news
  const hasRun = paymentJob.status.phase === "Running" && own.length > 0
  return job.active > 0 || hasRun
    ? { _tag: "Active", message: `the Job ${job.name} runs${again}` }
    : { _tag: "Waiting", reason: "PodPending", message: `the Job ${job.name} has no pod yet${again}` }
}

const meanings: Readonly<Record<number, string>> = {
  1: "failed",
  2: "wrong configuration",
  3: "refused or missing at a service",
  4: "stopped before the run's end",
  137: "killed, often for want of memory"
}

/** The latest pod that failed, in words. */
const exitOf = (pods: ReadonlyArray<SeenPod>): string | undefined => {
  const failed = pods.filter(({ isFinished, succeeded }) => isFinished && !succeeded)
  const [latest] = failed.toSorted((one, other) => (other.finishedAt ?? "").localeCompare(one.finishedAt ?? ""))
  if (latest === undefined) return undefined
  const { exitCode, name } = latest
  if (exitCode === undefined) return `the pod ${name} failed`
  const meaning = meanings[exitCode]
  return `the pod ${name} ended with exit code ${exitCode}${meaning === undefined ? "" : ` (${meaning})`}`
}

const withExit = (end: JobEnd, exit: string | undefined): JobEnd =>
  end.outcome === "Failed" && exit !== undefined ? { ...end, message: `${end.message}; ${exit}` } : end

/** Totals of the run only grow: whichever pod told the most told last. Pods of an earlier run of that name do not count. */
const resultOf = ({ job, paymentJob, pods }: Sight): RunResult | undefined => {
  const isOfRun = ({ jobUid, resultOfRun }: SeenPod): boolean =>
    resultOfRun === undefined ? jobUid === job?.uid : resultOfRun === paymentJob.uid
  const told = pods.filter(isOfRun).flatMap(({ result }) => (result === undefined ? [] : [result]))
  if (told.length === 0) return undefined
  return {
    stored: Math.max(...told.map(({ stored }) => stored)),
    duplicates: Math.max(...told.map(({ duplicates }) => duplicates)),
    deadLettered: Math.max(...told.map(({ deadLettered }) => deadLettered))
  }
}

/** Never back. */
const phaseOf = (before: Phase | undefined, sight: Sight, situation: Situation): Phase => {
  if (situation._tag === "Ended") return situation.end.outcome
  return before === "Running" || (isOwn(sight) && (sight.job?.active ?? 0) > 0) ? "Running" : "Pending"
}

const messageOf = (situation: Situation, job: SeenJob | undefined): string => {
  if (situation._tag !== "Ended") return situation.message
  const { message, outcome, reason } = situation.end
  const name = job?.name ?? ""
  return outcome === "Succeeded" ? `the Job ${name} succeeded` : `the Job ${name} failed: ${reason}: ${message}`
}

const conditionsOf = (sight: Sight, situation: Situation, now: string): ReadonlyArray<StatusCondition> => {
  const { generation, status } = sight.paymentJob
  const before = new Map((status.conditions ?? []).map((condition) => [condition.type, condition]))
  const said = saidOf(sight, situation)
  const others = [...before.values()].filter(({ type }) => !ours.has(type))
  return [...said]
    .map(([type, { message, reason, status }]): StatusCondition => {
      const known = before.get(type)
      const since = known?.status === status ? (known.lastTransitionTime ?? now) : now
      return { type, status, reason, message, observedGeneration: generation, lastTransitionTime: since }
    })
    .concat(others)
}

const ours: ReadonlySet<string> = new Set(["Ready", "Complete", "Failed", "Stalled", "Suspended", "SpecDrift"])

/** The last three are said only where they are so. */
const saidOf = (sight: Sight, situation: Situation): ReadonlyMap<string, Said> => {
  const { job } = sight
  const message = messageOf(situation, job)
  const said = new Map<string, Said>([
    ["Ready", readyOf(situation, message)],
    ["Complete", endSaid(situation, "Succeeded", message)],
    ["Failed", endSaid(situation, "Failed", message)]
  ])
  if (situation._tag === "Stuck") said.set("Stalled", { status: "True", reason: situation.reason, message })
  if (situation._tag === "Suspended") said.set("Suspended", { status: "True", reason: "Suspended", message })
  const drift = driftOf(sight)
  if (drift !== undefined && situation._tag !== "Ended") said.set("SpecDrift", drift)
  return said
}

const readyOf = (situation: Situation, message: string): Said => {
  switch (situation._tag) {
    case "Active":
      return { status: "True", reason: "Running", message }
    case "Suspended":
      return { status: "False", reason: "Suspended", message }
    case "Ended":
      return {
        status: situation.end.outcome === "Succeeded" ? "True" : "False",
        reason: situation.end.outcome,
        message
      }
    default:
      return { status: "False", reason: situation.reason, message }
  }
}

const endSaid = (situation: Situation, outcome: JobEnd["outcome"], message: string): Said =>
  situation._tag === "Ended" && situation.end.outcome === outcome
    ? { status: "True", reason: situation.end.reason, message }
    : { status: "False", reason: situation._tag === "Ended" ? situation.end.outcome : "NotFinished", message: "" }

const driftOf = (sight: Sight): Said | undefined => {
  const { job, paymentJob } = sight
  if (job === undefined || !isOwn(sight) || paymentJob.flaw !== undefined) return undefined
  if (job.specHash === specHashOf(paymentJob.spec)) return undefined
  const message = `the Job ${job.name} runs by an earlier spec; kubectl delete job ${job.name} runs the new one`
  return { status: "True", reason: "JobLeftAlone", message }
}
