/**
 * Requests that are done once, however often they are sent: each is claimed under a key before it is done, and its
 * answer kept for who sends it again.
 *
 * ## Guarantees
 * - Of any number of claims of one key at the same time, one is `Claimed`; the others are told what they find.
 * - A key belongs to the request that claimed it first, told by its fingerprint, until it expires: also after a
 *   release, and after a claimant that died.
 * - A claim holds for its lease. After that another may be made for the same request; its token is higher, and the
 *   earlier claimant can neither complete nor release it any more.
 * - An answer, once stored, is the answer until the key expires.
 *
 * ## Assumptions
 * - The lease is longer than the work takes; the work itself can stand to be done twice, since a claimant that was only
 *   slow is not stopped by losing its lease.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"

/** A key means something within its scope only (who asks, and for what kind of thing). */
export interface IdempotencyKey {
  readonly scope: string
  readonly key: string
}

export interface ClaimRequest extends IdempotencyKey {
  /** The same for the same request, and for no other. */
  readonly fingerprint: string
  readonly lease: Duration.Duration
  /** How long the key is kept from now on. */
  readonly retention: Duration.Duration
}

/** A claim that was made; the higher token is the later one. */
export interface Held extends IdempotencyKey {
  readonly token: bigint
}

/** What became of a claim. */
export type Claim =
  | { readonly _tag: "Claimed"; readonly held: Held }
  /** It was done: this is its answer. */
  | { readonly _tag: "Completed"; readonly answer: string }
  /** Somebody is at it, for this long at most. */
  | { readonly _tag: "UnderWay"; readonly leaseLeft: Duration.Duration }
  /** The key belongs to another request. */
  | { readonly _tag: "OtherRequest" }

export class IdempotencyKeys extends Context.Service<
  IdempotencyKeys,
  {
    readonly claim: (request: ClaimRequest) => Effect.Effect<Claim, StoreError>
    /** Stores the answer; `false` if the claim was lost meanwhile, and nothing is stored. */
    readonly complete: (held: Held, answer: string) => Effect.Effect<boolean, StoreError>
    /** Gives a claim back without an answer: the same request may be claimed again at once. */
    readonly release: (held: Held) => Effect.Effect<void, StoreError>
    /** Removes expired keys, so many at most; gives how many. */
    readonly removeExpired: (limit: number) => Effect.Effect<number, StoreError>
  }
>()("paystream/domain/ports/IdempotencyKeys") {}
