/**
 * An open transaction, as a requirement in a type: what asks for it can only be done inside of one.
 *
 * ## Guarantees
 * - Whoever provides it commits all that was done with it, or nothing.
 *
 * ## Assumptions
 * - It is used where it was given, and not kept for later: what comes after its end is a defect.
 */
import { Context } from "effect"

export class Transaction extends Context.Service<
  Transaction,
  {
    /** Means something only to the layer that opened it. */
    readonly handle: unknown
    readonly isOpen: () => boolean
  }
>()("paystream/domain/ports/Transaction") {}
