/**
 * What the operator needs from Kubernetes: its API server.
 *
 * ## Guarantees
 * - What `watch` has told, put together, becomes what the API server holds, and stays so: a connection cut, a silence,
 *   a history that was compacted are seen to inside. Steps in between may be left out; no final state is.
 * - `watch` tells of every object there is at the beginning, once, as `Synced`; then of changes only. Should the API
 *   server's own history go back (a backup that was restored), it says `Synced` again: what was told before is void.
 * - Of one object (`uid`), `watch` never tells an older copy after a newer one, nor the same twice. An object that was
 *   deleted and created again is told as `Deleted`, then `Applied`.
 * - A change with a `resourceVersion` or `uid` happens only to the object as it was then, or else is a `Conflict`.
 * - `create` makes one object of a name: a second is `AlreadyExists`, however many ask at the same time.
 * - Deleting an object deletes what it owns (`ownerReferences`), a little later.
 * - Renewing a lease waits for no other request.
 *
 * ## Assumptions
 * - `ClusterAway` may come after the effect: who changes something looks again before doing it otherwise.
 * - Objects are not changed in place: the same copies may be in use elsewhere.
 */
import { Context, type Effect, type Stream } from "effect"
import type { ClusterError } from "../ClusterError.ts"
import type { Kind, New, Objects } from "../ClusterObjects.ts"
import type { MergePatch } from "../MergePatch.ts"

/** Which objects of a kind. */
export interface Scope {
  /** These; all of them if there is none. */
  readonly namespaces: ReadonlyArray<string>
  /** A label selector, as kubectl takes it: `app=x,tier!=y`. */
  readonly labels?: string
  /** A field selector, of the fields that the API server knows for the kind: `involvedObject.uid=x,reason=y`. */
  readonly fields?: string
}

/** What to watch. */
export interface Watched<K extends Kind> extends Scope {
  /** What is needed of each object, where that is not all: the rest is neither told nor kept in memory. */
  readonly keep?: (object: Objects[K]) => Objects[K]
}

/** What is to be known of a kind. */
export type ClusterEvent<O> =
  /** All that there is in the scope: the first event; later only if all that was told before is void. */
  | { readonly _tag: "Synced"; readonly objects: ReadonlyArray<O> }
  /** Created or changed. */
  | { readonly _tag: "Applied"; readonly object: O }
  /** As it was last seen; or it left the scope, its labels having changed. */
  | { readonly _tag: "Deleted"; readonly object: O }

/** One object by its name. */
export interface ObjectName {
  readonly namespace: string
  readonly name: string
}

/** One object by its name, as it was seen. */
export interface SeenObject extends ObjectName {
  /** Only this one, and not another of its name. */
  readonly uid?: string
  /** Only if it has not changed since. */
  readonly resourceVersion?: string
}

/** What a role may grant. */
export interface Permission {
  readonly verb: "get" | "list" | "watch" | "create" | "patch" | "update" | "delete"
  readonly kind: Kind
  readonly subresource?: string
  /** Missing: in all namespaces. */
  readonly namespace?: string
}

export class Cluster extends Context.Service<
  Cluster,
  {
    /** Where it is, without credentials: for logs and errors. */
    readonly address: string
    /** Whether the API server knows the kind: a CustomResourceDefinition may be missing. */
    readonly isServed: (kind: Kind) => Effect.Effect<boolean, ClusterError>
    /** Whether we were granted this. */
    readonly isGranted: (permission: Permission) => Effect.Effect<boolean, ClusterError>

    /**
     * What there is, and then what changes, for ever. Fails on what only somebody else can put right: see `ClusterError`;
     * a refusal (`isRefusal`) has to last a minute, since API servers that start refuse what they grant later.
     */
    readonly watch: <K extends Kind>(
      kind: K,
      watched: Watched<K>
    ) => Stream.Stream<ClusterEvent<Objects[K]>, ClusterError>
    /**
     * Whether every watch that goes on hears of the API server: not before it has begun, nor from a failure until it
     * goes on.
     */
    readonly areWatchesAlive: Effect.Effect<boolean>
    /** What there is now. */
    readonly list: <K extends Kind>(kind: K, scope: Scope) => Effect.Effect<ReadonlyArray<Objects[K]>, ClusterError>
    /** The object as it is now, not as a cache has it. */
    readonly get: <K extends Kind>(kind: K, name: ObjectName) => Effect.Effect<Objects[K], ClusterError>

    readonly create: <K extends Kind>(kind: K, object: New<Objects[K]>) => Effect.Effect<Objects[K], ClusterError>
    /** Changes all but the status; gives the object as it is then. */
    readonly patch: <K extends Kind>(
      kind: K,
      object: SeenObject,
      patch: MergePatch
    ) => Effect.Effect<Objects[K], ClusterError>
    /** Changes the status and nothing else; `patch` has it under `status`. */
    readonly patchStatus: <K extends Kind>(
      kind: K,
      object: SeenObject,
      patch: MergePatch
    ) => Effect.Effect<Objects[K], ClusterError>
    /**
     * Begins to delete it: it is gone when `watch` says so, and what it owns a little later; with `ownedFirst` it goes
     * only when what it owns and blocks its deletion has gone.
     */
    readonly delete: (
      kind: Kind,
      object: SeenObject,
      options?: { readonly ownedFirst: boolean }
    ) => Effect.Effect<void, ClusterError>
  }
>()("paystream/domain/ports/Cluster") {}
