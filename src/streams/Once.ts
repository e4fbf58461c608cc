/**
 * Work that is done once for a key: claimed, done, answered. Who sends the same again gets the first answer.
 *
 * ## Guarantees
 * - While a key is kept, a final answer to it never changes, and the work is not done again for it.
 * - What is not final (the broker was away) or failed leaves the key to the same request, which may try again at once.
 *
 * ## Assumptions
 * - The work ends before its lease, and can stand to be done twice (see the port).
 */
import { Duration, Effect, Exit } from "effect"
import { type Claim, type ClaimRequest, type Held, IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import type { StoreError } from "../domain/StoreError.ts"

/** What the work gives; one that is not final is told to who asks now, and not kept. */
export interface Outcome {
  readonly answer: string
  readonly isFinal: boolean
}

/** What there is to say to who asks. */
export type Answered =
  | { readonly _tag: "Answered"; readonly answer: string; readonly isReplay: boolean }
  | Extract<Claim, { readonly _tag: "UnderWay" | "OtherRequest" }>

/** A claim that cannot be ended lapses with its lease: that is told, and costs nobody the answer. */
const ended = <A>(end: Effect.Effect<A, StoreError>, orElse: A) =>
  Effect.catch(end, (error) =>
    Effect.as(Effect.logWarning(`an idempotency key stays claimed: ${error.message}`), orElse)
  )

const work = Effect.fnUntraced(function* <E, R>(held: Held, run: Effect.Effect<Outcome, E, R>) {
  const keys = yield* IdempotencyKeys
  const giveBack = ended(keys.release(held), undefined)
  const { answer, isFinal } = yield* Effect.onExit(run, (exit) => (Exit.isFailure(exit) ? giveBack : Effect.void))
  // The work is done before its answer is kept: a crash between the two does it again, the other order not at all.
  const isKept = isFinal ? yield* ended(keys.complete(held, answer), true) : yield* Effect.as(giveBack, true)
  if (!isKept) yield* Effect.logWarning("the work for an idempotency key took longer than its lease")
  return { _tag: "Answered", answer, isReplay: false } as const
})

/** Does the work unless it was done, or is under way, for this key. */
export const once = <E, R>(
  request: ClaimRequest,
  run: Effect.Effect<Outcome, E, R>
): Effect.Effect<Answered, E | StoreError, R | IdempotencyKeys> =>
  Effect.flatMap(
    IdempotencyKeys.use((keys) => keys.claim(request)),
    (claim): Effect.Effect<Answered, E, R | IdempotencyKeys> => {
      if (claim._tag === "Claimed") return work(claim.held, run)
      if (claim._tag === "Completed") return Effect.succeed({ _tag: "Answered", answer: claim.answer, isReplay: true })
      return Effect.succeed(claim)
    }
  )

/** The lease of work that takes so long at most: some more, for the database's own time. */
export const leaseFor = (longestWork: Duration.Duration): Duration.Duration =>
  Duration.sum(longestWork, Duration.seconds(10))
