/** What is worked on, for what is published meanwhile: a message, the run of a job, or a request. */
import { Context } from "effect"
import type { Trace } from "./Trace.ts"

/** Ids of what is published follow from its own, if it has one, so that a repeat can be told. */
export interface CurrentMessage {
  /** Of a message the publisher's id, if it gave one; of a run its own. */
  readonly id: string | undefined
  readonly nextId: () => string | undefined
  /** The headers of the trace that it belongs to, if it does. */
  readonly trace: Trace | undefined
}

/** `undefined` where nothing is. */
export const CurrentMessage = Context.Reference<CurrentMessage | undefined>("paystream/streams/CurrentMessage", {
  defaultValue: () => undefined
})
