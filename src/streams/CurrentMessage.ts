/** The message that a handler works on, for what it publishes meanwhile. */
import { Context } from "effect"
import type { Trace } from "./Trace.ts"

/** Ids of what is published follow from the message's own, so that a repeat can be told. */
export interface CurrentMessage {
  /** The publisher's message id, if it gave one. */
  readonly id: string | undefined
  readonly nextId: () => string | undefined
  /** The headers of the trace that it belongs to, if it does. */
  readonly trace: Trace | undefined
}

/** `undefined` outside of a handler. */
export const CurrentMessage = Context.Reference<CurrentMessage | undefined>("paystream/streams/CurrentMessage", {
  defaultValue: () => undefined
})
