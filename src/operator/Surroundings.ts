/** What watches have told of PaymentJobs, Jobs and pods: whatever changes there, the PaymentJob concerned is known. */
import { Result } from "effect"
import type { JobObject, PaymentJobObject, PodObject } from "../domain/ClusterObjects.ts"
import type { ClusterEvent } from "../domain/ports/Cluster.ts"
import { jobNameOf } from "./Names.ts"
import { hasEnded, type PaymentJob, read } from "./PaymentJob.ts"
import { paymentJobNameOf, type SeenJob, seenJob } from "./SeenJob.ts"
import { keyOf, SeenObjects } from "./SeenObjects.ts"
import { asOf, seenPod } from "./SeenPod.ts"
import { SeenPods } from "./SeenPods.ts"
import { isPodOverdue, type Sight } from "./Sight.ts"

type Keys = ReadonlyArray<string>

/** One that cannot be read: what is wrong with it. */
export interface Unreadable {
  readonly key: string
  readonly flaw: string
}

export class Surroundings {
  readonly paymentJobs = new SeenObjects<PaymentJob>()
  readonly jobs = new SeenObjects<SeenJob>()
  readonly #pods = new SeenPods()
  /** Jobs that ended and were deleted before their end was on record. */
  readonly #endedJobs = new Map<string, SeenJob>()

  /** What is known of a PaymentJob; nothing, if there is none. */
  sightOf(key: string, nowMillis: number): Sight | undefined {
    const paymentJob = this.paymentJobs.get(key, nowMillis)
    if (paymentJob === undefined) return undefined
    if (hasEnded(paymentJob.status)) this.#pods.forgetGone(key)
    const jobKey = jobKeyOf(paymentJob)
    const job = this.jobs.get(jobKey, nowMillis) ?? this.#endedJob(jobKey, paymentJob)
    const pods = this.#pods.of(key).map((pod) => asOf(pod, nowMillis))
    const seen = { paymentJob, isLive: false, job, pods }
    return { ...seen, isPodOverdue: isPodOverdue(seen, nowMillis) }
  }

  /** The keys that it concerns; what cannot be read is as if it were not there. */
  onPaymentJobs(event: ClusterEvent<PaymentJobObject>): {
    readonly keys: Keys
    readonly flaws: ReadonlyArray<Unreadable>
  } {
    const { flaws, good, keys } = readingsOf(event)
    const before = event._tag === "Synced" ? [...this.paymentJobs.told.keys()] : []
    note(this.paymentJobs, event, good)
    for (const { key } of flaws) this.paymentJobs.forget(key)
    if (event._tag === "Deleted") for (const one of good) this.#forget(one)
    return { keys: [...new Set([...before, ...keys])], flaws }
  }

  onJobs(event: ClusterEvent<JobObject>): Keys {
    const objects = objectsOf(event)
    const seen = objects.map(seenJob)
    const before = event._tag === "Synced" ? [...this.jobs.told.values()] : []
    note(this.jobs, event, seen)
    if (event._tag === "Deleted") for (const job of seen) this.#keepEnd(job)
    const vanished = before.flatMap(({ namespace, owner }) => (owner ? [keyOf({ namespace, name: owner.name })] : []))
    return [...new Set([...vanished, ...objects.flatMap(keyOfOwner)])]
  }

  onPods(event: ClusterEvent<PodObject>): Keys {
    const objects = objectsOf(event)
    const before = event._tag === "Synced" ? this.#pods.clear() : []
    for (const object of objects)
      for (const key of keyOfOwner(object)) this.#pods.note(key, seenPod(object), event._tag === "Deleted")
    return [...new Set([...before, ...objects.flatMap(keyOfOwner)])]
  }

  #forget(paymentJob: PaymentJob): void {
    this.#endedJobs.delete(jobKeyOf(paymentJob))
    this.#pods.forgetGone(keyOf(paymentJob))
  }

  #keepEnd(job: SeenJob): void {
    const { namespace, owner } = job
    const paymentJob = owner && this.paymentJobs.told.get(keyOf({ namespace, name: owner.name }))
    if (job.end === undefined || paymentJob?.uid !== owner?.uid || paymentJob === undefined) return
    if (!hasEnded(paymentJob.status)) this.#endedJobs.set(keyOf(job), { ...job, isDeleting: true })
  }

  #endedJob(jobKey: string, { status, uid }: PaymentJob): SeenJob | undefined {
    const job = this.#endedJobs.get(jobKey)
    if (job === undefined) return undefined
    if (job.owner?.uid === uid && !hasEnded(status)) return job
    this.#endedJobs.delete(jobKey)
    return undefined
  }
}

const readingsOf = (event: ClusterEvent<PaymentJobObject>) => {
  const readings = objectsOf(event).map((object) => [keyOf(object.metadata), read(object)] as const)
  return {
    keys: readings.map(([key]) => key),
    good: readings.flatMap(([, reading]) => (Result.isSuccess(reading) ? [reading.success] : [])),
    flaws: readings.flatMap(([key, reading]) => (Result.isFailure(reading) ? [{ key, flaw: reading.failure }] : []))
  }
}

const jobKeyOf = ({ name, namespace }: PaymentJob): string => keyOf({ namespace, name: jobNameOf(name) })

const objectsOf = <O>(event: ClusterEvent<O>): ReadonlyArray<O> =>
  event._tag === "Synced" ? event.objects : [event.object]

const note = <O extends { readonly namespace: string; readonly name: string; readonly resourceVersion: string }>(
  seen: SeenObjects<O>,
  event: ClusterEvent<unknown>,
  objects: ReadonlyArray<O>
): void => {
  if (event._tag === "Synced") seen.replace(objects)
  if (event._tag === "Applied") for (const object of objects) seen.apply(object)
  if (event._tag === "Deleted") for (const object of objects) seen.remove(object)
}

const keyOfOwner = ({ metadata }: JobObject | PodObject): Keys => {
  const name = paymentJobNameOf(metadata)
  return name === undefined ? [] : [keyOf({ namespace: metadata.namespace, name })]
}
