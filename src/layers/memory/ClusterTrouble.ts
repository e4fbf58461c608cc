/** What a test may do to the API server in memory, and see of it, beside the port. */
import { Context, type Effect } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import type { ClusterObject } from "../../domain/ClusterObjects.ts"
import type { ClusterEvent, Permission } from "../../domain/ports/Cluster.ts"

/** A request that was made: what a role would have to grant, and of which object. */
export interface ClusterRequest extends Permission {
  readonly name?: string
}

/** How a request goes wrong: `afterEffect`, having done what it should. */
export interface Trouble {
  readonly reason: ClusterError["reason"]
  readonly afterEffect?: boolean
}

type Told = ClusterEvent<ClusterObject>

/** Lets the API server in memory fail as real ones do. */
export class ClusterTrouble extends Context.Service<
  ClusterTrouble,
  {
    /** All requests made so far, refused ones too. */
    readonly requests: Effect.Effect<ReadonlyArray<ClusterRequest>>
    /** Asked before each request from now on, watches' beginnings too; `undefined` lets it pass. */
    readonly onRequest: (rule: (request: ClusterRequest) => Trouble | undefined) => Effect.Effect<void>
    /** Watches are cut: nothing is told until they are resumed. */
    readonly cutWatches: Effect.Effect<void>
    /** They catch up as a relist does: with what is different now, steps in between left out. */
    readonly resumeWatches: Effect.Effect<void>
    /**
     * What watches tell from now on instead of a change: none, an older one, the same twice. Worse than the port
     * allows: for who must survive even that.
     */
    readonly onEvent: (distort: (event: Told) => ReadonlyArray<Told>) => Effect.Effect<void>
    /** Whether what lost its owners goes at once, as at first, or only with `collectGarbage`. */
    readonly collectAtOnce: (atOnce: boolean) => Effect.Effect<void>
    readonly collectGarbage: Effect.Effect<void>
  }
>()("paystream/layers/memory/ClusterTrouble") {}
