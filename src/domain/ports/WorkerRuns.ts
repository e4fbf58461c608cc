/**
 * What the payment worker needs so that a run counts over all of its processes. The count itself moves with the rows:
 * `PaymentStore.store` does it for a share.
 *
 * ## Guarantees
 * - Of a run with `maxMessages`, never more are counted, nor claimed by holders that live, than that, however many
 *   processes claim at the same time.
 * - What a holder has claimed and not counted is free again once it leaves, or its lease has ended; from then on it
 *   can count nothing without claiming anew, however late it wakes up.
 * - A run that is done stays done.
 * - Time is the store's own.
 */
import { Context, type Effect, Schema } from "effect"
import type { StoreError } from "../StoreError.ts"
import type { RunProgress, RunShare } from "../WorkerRun.ts"

/** The run of this id was begun on other terms: it is another run, and needs another id. */
export class RunMismatch extends Schema.TaggedError<RunMismatch>()("RunMismatch", { detail: Schema.String }) {
  readonly isRetryable = false
  override get message(): string {
    return this.detail
  }
}

/** What a claim found and got. */
export interface Claimed extends RunProgress {
  /** What the holder may still settle, with what it claimed before; infinite without `maxMessages`. */
  readonly left: number
  /** How much of it is new. */
  readonly fresh: number
}

export class WorkerRuns extends Context.Service<
  WorkerRuns,
  {
    /** Begins the run if nobody has, and claims some of what is left for this holder; renews its lease. */
    readonly claim: (share: RunShare) => Effect.Effect<Claimed, StoreError | RunMismatch>
    /** Renews the lease of a holder that has claimed; of a run that nobody has begun, nothing is counted. */
    readonly renew: (share: RunShare) => Effect.Effect<RunProgress, StoreError | RunMismatch>
    /** Counts so many dead letters; `false` if they are not this holder's to count any more. */
    readonly countDeadLetters: (share: RunShare, count: number) => Effect.Effect<boolean, StoreError>
    /**
     * This holder finds the queue empty and has nothing in hand; until it counts again. Done is a run of which all
     * holders say so that live and have something left: then `true`. A holder that was lost counts as alive until the
     * broker has given back what it had in hand (`mournedFor`).
     */
    readonly idle: (share: RunShare) => Effect.Effect<boolean, StoreError>
    /** Gives back what was claimed and not counted; where the run stands then. */
    readonly leave: (share: RunShare) => Effect.Effect<RunProgress, StoreError>
  }
>()("paystream/domain/ports/WorkerRuns") {}
