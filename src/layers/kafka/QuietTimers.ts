/**
 * kafkajs 2.2.4 asks for a timer of minus fifty years whenever it has nothing to send, and both runtimes say so on
 * stderr. It is a timer for nothing: it is not asked for here.
 */
import { createRequire } from "node:module"

/** What of kafkajs's queue of requests matters here. */
interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  /** -1: the broker has not asked us to slow down. */
  readonly throttledUntil: number
  scheduleCheckPendingRequests: () => void
}

const { prototype } = createRequire(import.meta.url)("kafkajs/src/network/requestQueue") as {
  readonly prototype: RequestQueue
}
const schedule = prototype.scheduleCheckPendingRequests

/** Called before the first request. */
export const silence = (): void => {
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0 || this.throttledUntil > 0) schedule.call(this)
  }
}
