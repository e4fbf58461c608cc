/**
 * Payments and their histories.
 *
 * ## Guarantees
 * - What is appended is appended after the history that it was decided on, or not at all: of two who decided on the same
 *   one, the second is told so (`false`).
 * - A payment's status can only go where `transitions` lets it, whoever writes.
 * - Of any number of claims of one payment at the same time, one holds; a later one has a higher token, and what an
 *   earlier claimant appends then is not taken.
 * - Time is the store's own: processes whose clocks disagree agree on what is overdue.
 *
 * ## Assumptions
 * - Events were decided on the state that `version` stands for, and change the status once at most: each transition is
 *   checked where it is stored.
 */
import { Context, type Duration, type Effect } from "effect"
import type { PaymentEvent } from "../PaymentEvent.ts"
import type { PaymentState, Status } from "../PaymentState.ts"
import type { StoreError } from "../StoreError.ts"
import type { Transaction } from "./Transaction.ts"

/** A payment that is asked for. */
export interface NewPayment {
  /** A uuid. */
  readonly id: string
  /** As the client gave it, or ours. */
  readonly idempotencyKey: string
  readonly event: Extract<PaymentEvent, { readonly _tag: "Requested" }>
}

/** Something that has happened, and when. */
export interface PaymentStep {
  readonly event: PaymentEvent
  readonly atMillis: number
}

export interface Payment {
  readonly id: string
  readonly idempotencyKey: string
  readonly state: PaymentState
  /** How many events its history has. */
  readonly version: number
  readonly createdAtMillis: number
  readonly updatedAtMillis: number
}

/** A payment in its claimant's hands. */
export interface ClaimedPayment extends Payment {
  /** Higher for each later claim. */
  readonly token: bigint
}

/** What is to be appended, and on what it was decided. */
export interface Append {
  readonly id: string
  /** The version that was decided on. */
  readonly version: number
  /** Of the claim that it belongs to; none, where somebody decides who has not claimed it. */
  readonly token: bigint | undefined
  readonly events: ReadonlyArray<PaymentEvent>
  /** What the history comes to with them. */
  readonly state: PaymentState
}

/** A payment in a list. */
export interface PaymentSummary extends Payment {
  /** Until the claim on it lapses; 0 for none. */
  readonly leaseLeftMillis: number
  /** Until it is looked for again, where it was postponed; otherwise 0. */
  readonly postponedMillis: number
}

/** A payment that should have gone on by now, and its place among them: by `since`, then by its id. */
export interface OverduePayment {
  readonly id: string
  readonly status: Status
  /** Since when it should have gone on, as the store counts: higher is later. */
  readonly since: bigint
  /** For how long that is, by the store's clock. */
  readonly quietMillis: number
}

/** How payments stand. */
export interface Standing {
  readonly inDoubt: number
  readonly oldestInDoubtMillis: number
  readonly compensating: number
  /** Of those, the ones that wait for an operator. */
  readonly required: number
  readonly stuck: number
}

type Stored<A> = Effect.Effect<A, StoreError>

export class PaymentIntents extends Context.Service<
  PaymentIntents,
  {
    /** Stores a payment with the beginning of its history. One that is there already stays as it is: `false`. */
    readonly create: (payment: NewPayment) => Effect.Effect<boolean, StoreError, Transaction>
    readonly find: (id: string) => Stored<Payment | undefined>
    readonly findByReference: (reference: string) => Stored<Payment | undefined>
    readonly history: (id: string) => Stored<ReadonlyArray<PaymentStep>>
    /**
     * `false` if its history has grown meanwhile, or the claim was lost: then nothing is stored. What ends a payment
     * ends the claim on it too, whoever has it: there is nothing left to do.
     */
    readonly append: (append: Append) => Effect.Effect<boolean, StoreError, Transaction>
    /** `undefined` where it is not known, or somebody has it. */
    readonly claim: (id: string, lease: Duration.Duration) => Stored<ClaimedPayment | undefined>
    /** Goes on holding; `false` if the claim was lost. */
    readonly renew: (claimed: Pick<ClaimedPayment, "id" | "token">, lease: Duration.Duration) => Stored<boolean>
    /** Gives a claim back, so that somebody else may go on at once. */
    readonly release: (claimed: Pick<ClaimedPayment, "id" | "token">) => Stored<void>
    /** Nobody is to look for it within `wait`, unless there is news; where the claim was lost, nothing is changed. */
    readonly postpone: (claimed: Pick<ClaimedPayment, "id" | "token">, wait: Duration.Duration) => Stored<void>
    /**
     * Payments that should go on by themselves and that nobody has: not final, not waiting for an operator, nothing new
     * about them for `age` nor since as long ago postponed; longest first. With `after`, only those whose place is after
     * that one's: so all of them are come by, however many there are.
     */
    readonly overdue: (
      age: Duration.Duration,
      limit: number,
      after?: Pick<OverduePayment, "id" | "since">
    ) => Stored<ReadonlyArray<OverduePayment>>
    /** Of those that are overdue, the ones whose money may be under way, in doubt or being undone: latest first. */
    readonly unsettled: (age: Duration.Duration, limit: number) => Stored<ReadonlyArray<OverduePayment>>
    /** Those that do not get on: overdue, or in quarantine for as long. Longest first. */
    readonly stuck: (age: Duration.Duration, limit: number) => Stored<ReadonlyArray<string>>
    /** How many there are that somebody may have to look at, exactly; those that are `stuck` for `stuckAfter`. */
    readonly standing: (stuckAfter: Duration.Duration) => Stored<Standing>
    /** Those of these statuses (all, if none is named), latest first. */
    readonly list: (statuses: ReadonlyArray<Status>, limit: number) => Stored<ReadonlyArray<PaymentSummary>>
    /** Removes at most `limit` that ended longer ago than `age`, with their histories; the number of those removed. */
    readonly forget: (age: Duration.Duration, limit: number) => Stored<number>
    /** Makes the tables, or checks them where this process may not change them; done again, changes nothing. */
    readonly prepare: Stored<void>
    /** Succeeds when the database answers. */
    readonly ping: Stored<void>
  }
>()("paystream/domain/ports/PaymentIntents") {}
