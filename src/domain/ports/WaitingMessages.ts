/**
 * Messages of ordered workers that wait outside of the broker: the head of a key until it is due, the others of its key
 * until it is their turn. A key waits as long as there is a message of it here.
 *
 * ## Guarantees
 * - Durable when a call returns. Messages of a key are handed out one at a time, in the order in which they came here.
 * - A claim is its owner's alone until it lapses (`leaseSeconds` without `renew`) or is given back; what an owner whose
 *   claim has lapsed says of it changes nothing.
 * - Time is the store's own: processes whose clocks disagree agree on what is due.
 *
 * ## Assumptions
 * - Only who has the current message of a key parks it, and only while nobody else has one: an ordered subscription.
 */
import { Context, type Duration, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"
import type { MessageContent } from "./Broker.ts"

/** How long a claim holds without being renewed. */
export const leaseSeconds = 10

/** A message of a group and its key. */
export interface KeyedMessage {
  readonly key: string
  readonly message: MessageContent
}

/** The head of a key that is due, in its owner's hands. */
export interface WaitingHead extends KeyedMessage {
  /** The store's own; means something only to it. */
  readonly id: string
  /** How often it was claimed since it was parked: above 1, an owner was lost with it in hand. */
  readonly attempt: number
}

type Stored<A> = Effect.Effect<A, StoreError>

export class WaitingMessages extends Context.Service<
  WaitingMessages,
  {
    /** Keeps the head of a key until it is due; behind what waits there already, if anything does. */
    readonly park: (group: string, head: KeyedMessage, delay: Duration.Duration) => Stored<void>
    /** Which of these keys wait. */
    readonly keysWaiting: (group: string, keys: ReadonlyArray<string>) => Stored<ReadonlySet<string>>
    /** Keeps those whose key waits, in order, each as soon as it is its turn; says for each whether it was kept. */
    readonly append: (group: string, messages: ReadonlyArray<KeyedMessage>) => Stored<ReadonlyArray<boolean>>
    /** Takes heads that are due, at most one of each key, those that are due longest first. */
    readonly claim: (group: string, owner: string, limit: number) => Stored<ReadonlyArray<WaitingHead>>
    /** Removes a head, and claims the next of its key if there is one. */
    readonly complete: (owner: string, head: WaitingHead) => Stored<WaitingHead | undefined>
    /** Keeps a head, with what has changed about it, until it is due again. */
    readonly postpone: (
      owner: string,
      head: WaitingHead,
      message: MessageContent,
      delay: Duration.Duration
    ) => Stored<void>
    /** Renews the owner's claims; says how many it has. */
    readonly renew: (group: string, owner: string) => Stored<number>
    /** Gives back the owner's claims, as if they had never been: a clean stop. */
    readonly release: (group: string, owner: string) => Stored<void>
    /** Messages that wait for a group, due or not. */
    readonly count: (group: string) => Stored<number>
    /** Makes the tables, or checks them where this process may not change them; done again, changes nothing. */
    readonly prepare: Stored<void>
  }
>()("paystream/domain/ports/WaitingMessages") {}
