/** Jobs that ended and were deleted before their end was on record: their PaymentJobs would run again otherwise. */
import { hasEnded, type PaymentJob } from "./PaymentJob.ts"
import type { SeenJob } from "./SeenJob.ts"
import { keyOf } from "./SeenObjects.ts"

export class EndedJobs {
  readonly #byKey = new Map<string, SeenJob>()

  /** One that was deleted; another's is none of ours. */
  keep(job: SeenJob, { status, uid }: PaymentJob): void {
    if (job.end === undefined || job.owner?.uid !== uid || hasEnded(status)) return
    this.#byKey.set(keyOf(job), { ...job, isDeleting: true })
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
