/**
 * Payments that whoever takes them up may die of, once more: by a sweep, or because a client asks again.
 *
 * ## Guarantees
 * - Whoever they are taken up by, their deaths are counted together: after so many a payment is in quarantine, and nobody
 *   runs it until an operator says so.
 */
import { Effect } from "effect"
import type { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { changeStored } from "./PaymentChanges.ts"
import type { PaymentOutlet } from "./PaymentOutlet.ts"
import { Suspects } from "./Suspects.ts"

/** Whose marks a crash leaves: no topic has such a name. */
const consumer = "payment sweep"

/** Takes a payment up once more; `undefined` where it was set aside instead. */
export const takenUpAgain = <A, E, R>(id: string, handle: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Suspects, ({ again }) =>
    again<A | undefined, E | StoreError, R | PaymentIntents | PaymentOutlet>({
      suspect: Effect.succeed({ consumer, identity: id }),
      handle,
      setAside: (crashes) => Effect.as(quarantine(id, crashes), undefined)
    })
  )

/** Stored before its marks go: a crash between the two sets it aside once more, which changes nothing. */
const quarantine = Effect.fnUntraced(function* (id: string, crashes: number) {
  const reason = `its process died ${crashes} times`
  // What has ended meanwhile stays as it is: the command is never against it.
  yield* Effect.catchTag(changeStored(id, { _tag: "Quarantine", reason }), "IllegalTransition", Effect.die)
  yield* Effect.logError(`a payment is in quarantine, ${reason}: see \`sagas show\`, it waits for \`sagas resume\``)
})
