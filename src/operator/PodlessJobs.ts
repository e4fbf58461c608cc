/** Since when the Job of a PaymentJob has been without a pod, by its key. */
import { isPodless, type Sight } from "./Sight.ts"

/** A controller that has taken a Job up makes its pods at once: without one for so long, it is asked why. */
const podWaitMillis = 10_000

/** Counted from when that was seen first, by our own clock: that of whoever wrote when the Job began may be another. */
export class PodlessJobs {
  readonly #since = new Map<string, number>()

  /** When it is a matter to look into; `undefined` where it has a pod, or needs none. */
  dueAt(key: string, sight: Pick<Sight, "job" | "paymentJob" | "pods">, nowMillis: number): number | undefined {
    if (!isPodless(sight)) {
      this.#since.delete(key)
      return undefined
    }
    const since = this.#since.get(key) ?? nowMillis
    this.#since.set(key, since)
    return since + podWaitMillis
  }

  forget(key: string): void {
    this.#since.delete(key)
  }
}
