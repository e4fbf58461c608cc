/** A payment in one processor's hands: claimed, held as long as work on it goes on, and given back. */
import { Duration, Effect, Exit } from "effect"
import { isFinal } from "../domain/PaymentState.ts"
import { type ClaimedPayment, PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"

/** The claim is renewed so often within its lease: two renewals may fail before it lapses. */
const renewalsPerLease = 3

/**
 * Claims a payment and works on it; gives it as the work has left it. `undefined` if it is not known, or somebody else
 * has it, from the beginning or meanwhile: then the work is interrupted, and whatever it would have stored is not taken.
 */
export const claiming = Effect.fnUntraced(function* <E, R>(
  id: string,
  lease: Duration.Duration,
  work: (claimed: ClaimedPayment) => Effect.Effect<ClaimedPayment | undefined, E, R>
): Effect.fn.Return<ClaimedPayment | undefined, E | StoreError, R | PaymentIntents> {
  const intents = yield* PaymentIntents
  const claimed = yield* intents.claim(id, lease)
  if (claimed === undefined) return undefined
  // A claim that cannot be given back lapses with its lease.
  const giveBack = Effect.ignore(intents.release(claimed))
  return yield* Effect.onExit(Effect.raceFirst(work(claimed), untilLost(claimed, lease)), (exit) =>
    Exit.isSuccess(exit) && hasEnded(claimed, exit.value) ? Effect.void : giveBack
  )
})

/** Whether it has come to its end since it was claimed: then its claim has ended with it. */
const hasEnded = (claimed: ClaimedPayment, left: ClaimedPayment | undefined): boolean =>
  left !== undefined && isFinal(left.state) && left.version > claimed.version

/** A renewal that fails is tried again: what is stored after the lease is refused anyway, where another has claimed. */
const untilLost = Effect.fnUntraced(function* (claimed: ClaimedPayment, lease: Duration.Duration) {
  const intents = yield* PaymentIntents
  let isHeld = true
  while (isHeld) {
    yield* Effect.sleep(Duration.divideUnsafe(lease, renewalsPerLease))
    isHeld = yield* Effect.orElseSucceed(intents.renew(claimed, lease), () => true)
  }
  return undefined
})
