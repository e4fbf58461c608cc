/** Jobs that ended and were deleted before their end was on record: their PaymentJobs would run again otherwise. */
import { hasEnded, type PaymentJob } from "./PaymentJob.ts"
import type { SeenJob } from "./SeenJob.ts"
import { keyOf } from "./Versioned.ts"

export class EndedJobs {
  readonly #byKey = new Map<string, SeenJob>()

  /** One that was deleted; another's than one of these PaymentJobs is none of ours. */
  keep(job: SeenJob, paymentJobs: ReadonlyMap<string, PaymentJob>): void {
    const { end, namespace, owner } = job
    const paymentJob = owner && paymentJobs.get(keyOf({ namespace, name: owner.name }))
    if (end === undefined || paymentJob === undefined || paymentJob.uid !== owner?.uid) return
    if (!hasEnded(paymentJob.status)) this.#byKey.set(keyOf(job), { ...job, isDeleting: true })
  }

  /** That of a PaymentJob, until its end is on record. */
  get(key: string, { status, uid }: PaymentJob): SeenJob | undefined {
    const job = this.#byKey.get(key)
    if (job === undefined) return undefined
    if (job.owner?.uid === uid && !hasEnded(status)) return job
    this.#byKey.delete(key)
    return undefined
  }

  forget(key: string): void {
    this.#byKey.delete(key)
  }
}
