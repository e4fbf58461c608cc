/**
 * What a provider tells by itself about charges and refunds.
 *
 * ## Guarantees
 * - What is read was signed by the provider, and not long ago: nothing that was altered, forged or kept is taken.
 * - Reading changes nothing: the same notice, read again, says the same.
 *
 * ## Assumptions
 * - Notices may be late, come twice and overtake each other: what one says was so once, and `retrieve` says what is so.
 */
import { Context, type Effect, Schema } from "effect"
import type { ChargeStatus } from "./PaymentGateway.ts"

/** A charge, or a refund of one, and how it stood when the notice was written. */
export type ChargeNotice =
  | { readonly _tag: "Charge"; readonly reference: string; readonly status: ChargeStatus }
  | {
      readonly _tag: "Refund"
      /** Of the charge. */
      readonly reference: string
      /** The provider's name for the refund. */
      readonly refund: string
      readonly isFailed: boolean
    }

/** A notice that cannot be trusted; the detail quotes nothing of it. */
export class NoticeRefused extends Schema.TaggedError<NoticeRefused>()("NoticeRefused", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

export class ChargeNotices extends Context.Service<
  ChargeNotices,
  {
    /** Of the body as it was received, byte for byte, and its signature; `undefined` where it is not about a charge. */
    readonly read: (
      body: Uint8Array,
      signature: string | undefined
    ) => Effect.Effect<ChargeNotice | undefined, NoticeRefused>
  }
>()("paystream/domain/ports/ChargeNotices") {}
