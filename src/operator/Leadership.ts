/** Whether this process may act, as far as those need to know who do. */
import { Effect, identity, Schema } from "effect"
import type { ClusterError } from "../domain/ClusterError.ts"

/** The Lease cannot be renewed, or is another's: this process must not act any more. */
export class LeadershipLost extends Schema.TaggedError<LeadershipLost>()("LeadershipLost", {
  lease: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `leadership lost (lease ${this.lease}): ${this.why}; this process ends, to start anew`
  }
}

/** This process does not lead any more: another one acts. */
export class NotLeading extends Schema.TaggedError<NotLeading>()("NotLeading", {}) {
  override get message(): string {
    return "this process does not lead any more"
  }
}

/** Does something as the leader. */
export type AsLeader = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E | NotLeading>

export interface Leadership {
  /** Succeeds once this process leads. */
  readonly begun: Effect.Effect<void>
  /** Whether it may act now. */
  readonly isLeading: Effect.Effect<boolean>
  /** Does something as the leader: not begun by who does not lead. */
  readonly ifLeading: AsLeader
  /** Succeeds when it leads no more: what is in hand then is given up. At once for who does not lead. */
  readonly over: Effect.Effect<void>
  /** Whether the Lease is known, and the last try to take or renew it was answered. */
  readonly isReachable: Effect.Effect<boolean>
  /** Never succeeds; fails when it led and does not any more, or when trying cannot help. */
  readonly lost: Effect.Effect<never, LeadershipLost | ClusterError>
}

/** Who may act alone does so at once. */
export const alone: Leadership = {
  begun: Effect.void,
  isLeading: Effect.succeed(true),
  ifLeading: identity,
  over: Effect.never,
  isReachable: Effect.succeed(true),
  lost: Effect.never
}
