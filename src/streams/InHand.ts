/** A message in the hands of a topic worker, and what has come of it. */
import type { Delivery, TopicMessage } from "../domain/ports/Broker.ts"
import type { WorkerDeadLetterReason } from "../domain/WorkerDeadLetter.ts"
import type { MessageSource } from "./MessageSource.ts"
import type { Trace } from "./Trace.ts"
import type { Any } from "./Worker.ts"
import type { Original } from "./WorkerMessages.ts"

export interface InHand {
  readonly worker: Any
  /** That the worker consumes with; none where it consumes dead letters. */
  readonly group: string | undefined
  readonly source: MessageSource
  readonly delivery: Delivery
  readonly original: Original
  /** Stands for the input's id in those that are made of it. */
  readonly stem: string | undefined
  /** Where the trace of the input goes on, if it belongs to one. */
  readonly trace: Trace | undefined
}

/** How a delivery ended; `skipped`: the group had finished it before. */
export type Ending = "done" | "retried" | "snoozed" | "dead_lettered" | "skipped" | "returned"

/** A message that was handled and is not settled. */
export interface Handled {
  readonly inHand: InHand
  readonly ending: Ending
  /** Not published yet: it leaves together with those of others. */
  readonly output: TopicMessage | undefined
  /** Why it was set aside, if it was. */
  readonly reason: WorkerDeadLetterReason | undefined
}

/** Handled, with nothing left to publish. */
export const handled = (inHand: InHand, ending: Ending, reason?: WorkerDeadLetterReason): Handled => ({
  inHand,
  ending,
  output: undefined,
  reason
})
