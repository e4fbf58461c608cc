/** What watches have told of PaymentJobs, Jobs and pods: whatever changes there, the PaymentJob concerned is known. */
import { Result } from "effect"
import type { JobObject, PaymentJobObject, PodObject } from "../domain/ClusterObjects.ts"
import type { ClusterEvent } from "../domain/ports/Cluster.ts"
import { EndedJobs } from "./EndedJobs.ts"
import { jobNameOf } from "./Names.ts"
import { hasEnded, type PaymentJob, read as readWith } from "./PaymentJob.ts"
import { PodlessJobs } from "./PodlessJobs.ts"
import { paymentJobNameOf, type SeenJob, seenJob } from "./SeenJob.ts"
import { SeenObjects } from "./SeenObjects.ts"
import { asOf, type SeenPod, seenPod } from "./SeenPod.ts"
import { SeenPods } from "./SeenPods.ts"
import type { Sight } from "./Sight.ts"
import { keyOf } from "./Versioned.ts"

type Keys = ReadonlyArray<string>

/** One that cannot be read: which, and what is wrong with it. */
export interface Unreadable extends Pick<PaymentJob, "name" | "namespace" | "uid" | "resourceVersion"> {
  readonly flaw: string
}

export class Surroundings {
  readonly paymentJobs = new SeenObjects<PaymentJob>()
  readonly jobs = new SeenObjects<SeenJob>()
  /** By key, those that are left alone since they cannot be read. */
  readonly unreadable = new Map<string, Unreadable>()
  readonly #pods = new SeenPods()
  readonly #endedJobs = new EndedJobs()
  readonly #podless = new PodlessJobs()

  /** What is known of a PaymentJob at a time of our own clock; nothing, if there is none that can be read. */
  sightOf(key: string, nowMillis: number): Sight | undefined {
    const paymentJob = this.paymentJobs.get(key, nowMillis)
    if (paymentJob === undefined) return undefined
    if (hasEnded(paymentJob.status)) this.#pods.forgetGone(key)
    const jobKey = jobKeyOf(paymentJob)
    const job = this.jobs.get(jobKey, nowMillis) ?? this.#endedJobs.get(jobKey, paymentJob)
    const pods = this.#pods.of(key).map((pod) => asOf(pod, nowMillis))
    const seen = { paymentJob, isLive: false, job, pods }
    const podDueAt = this.#podless.dueAt(key, seen, nowMillis)
    return { ...seen, podDueAt, isPodOverdue: podDueAt !== undefined && podDueAt <= nowMillis }
  }

  /** The keys for which it is news; what cannot be read is as if it were not there. */
  onPaymentJobs(event: ClusterEvent<PaymentJobObject>, nowMillis: number): Keys {
    const { flaws, good, keys } = readingsOf(event, ({ metadata }) => this.paymentJobs.get(keyOf(metadata), nowMillis))
    const before = event._tag === "Synced" ? [...this.paymentJobs.told.keys()] : []
    if (!isNews(this.paymentJobs, event, good, nowMillis)) return []
    if (event._tag === "Synced") this.unreadable.clear()
    for (const key of keys) this.unreadable.delete(key)
    for (const flaw of flaws) {
      this.paymentJobs.forget(keyOf(flaw))
      if (event._tag !== "Deleted") this.unreadable.set(keyOf(flaw), flaw)
    }
    if (event._tag === "Deleted") for (const one of good) this.#forget(one)
    return [...new Set([...before, ...keys])]
  }

  onJobs(event: ClusterEvent<JobObject>, nowMillis: number): Keys {
    const objects = objectsOf(event)
    const seen = objects.map(seenJob)
    const before = event._tag === "Synced" ? [...this.jobs.told.values()] : []
    if (!isNews(this.jobs, event, seen, nowMillis)) return []
    if (event._tag === "Deleted") for (const job of seen) this.#endedJobs.keep(job, this.paymentJobs.told)
    return [...new Set([...before.flatMap(keyOfSeenOwner), ...objects.flatMap(keyOfOwner)])]
  }

  onPods(event: ClusterEvent<PodObject>, nowMillis: number): Keys {
    const before = event._tag === "Synced" ? this.#pods.clear() : []
    const isGone = event._tag === "Deleted"
    const isNews = (key: string, pod: SeenPod) =>
      isGone ? this.#pods.remove(key, pod) : this.#pods.note(key, pod, nowMillis)
    const news = objectsOf(event).flatMap((object) => keyOfOwner(object).filter((key) => isNews(key, seenPod(object))))
    return [...new Set([...before, ...news])]
  }

  /** The keys of which something was written that the watch has never told of, and does not any more. */
  lost(nowMillis: number): Keys {
    const jobs = this.jobs.lost(nowMillis)
    return [...this.paymentJobs.lost(nowMillis).map(keyOf), ...jobs.flatMap(keyOfSeenOwner)]
  }

  #forget(paymentJob: PaymentJob): void {
    this.#endedJobs.forget(jobKeyOf(paymentJob))
    this.#podless.forget(keyOf(paymentJob))
    this.#pods.forgetGone(keyOf(paymentJob))
  }
}

const readingsOf = (
  event: ClusterEvent<PaymentJobObject>,
  knownOf: (object: PaymentJobObject) => PaymentJob | undefined
) => {
  // told anew, what was known before is void
  const read = (object: PaymentJobObject) => readWith(object, event._tag === "Synced" ? undefined : knownOf(object))
  const readings = objectsOf(event).map((object) => [object.metadata, read(object)] as const)
  return {
    keys: readings.map(([metadata]) => keyOf(metadata)),
    good: readings.flatMap(([, reading]) => (Result.isSuccess(reading) ? [reading.success] : [])),
    flaws: readings.flatMap(([metadata, reading]) =>
      Result.isFailure(reading) ? [flawed(metadata, reading.failure)] : []
    )
  }
}

const flawed = ({ name, namespace, resourceVersion, uid }: PaymentJobObject["metadata"], flaw: string): Unreadable => ({
  name,
  namespace,
  resourceVersion,
  uid,
  flaw
})

const jobKeyOf = ({ name, namespace }: PaymentJob): string => keyOf({ namespace, name: jobNameOf(name) })

const objectsOf = <O>(event: ClusterEvent<O>): ReadonlyArray<O> =>
  event._tag === "Synced" ? event.objects : [event.object]

/** Takes it in; not news is one that tells nothing but another version. */
const isNews = <O extends { readonly namespace: string; readonly name: string; readonly resourceVersion: string }>(
  seen: SeenObjects<O>,
  event: ClusterEvent<unknown>,
  objects: ReadonlyArray<O>,
  nowMillis: number
): boolean => {
  const isKnown = event._tag === "Applied" && objects.length > 0 && objects.every((one) => !seen.isNews(one, nowMillis))
  if (event._tag === "Synced") seen.replace(objects)
  if (event._tag === "Applied") for (const object of objects) seen.apply(object)
  if (event._tag === "Deleted") for (const object of objects) seen.remove(object)
  return !isKnown
}

const keyOfSeenOwner = ({ namespace, owner }: SeenJob): Keys =>
  owner === undefined ? [] : [keyOf({ namespace, name: owner.name })]

const keyOfOwner = ({ metadata }: JobObject | PodObject): Keys => {
  const name = paymentJobNameOf(metadata)
  return name === undefined ? [] : [keyOf({ namespace: metadata.namespace, name })]
}
