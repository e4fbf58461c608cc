/**
 * Events that are stored with the state that they tell of, and published once both are committed.
 *
 * ## Guarantees
 * - `append` takes part in the transaction: event and state are committed together or not at all.
 * - `take` gives committed events only, each as soon as it is visible, however late its transaction committed: never by
 *   a position. A slot's events come in the order of their appending: an append begun after another's commit comes
 *   after it.
 * - `take` gives no event while one of its key has failed and holds it back, and none to a relay that does not own the
 *   slot.
 * - A slot has one owner. A relay that was not heard of for as long as its lease loses all it had, and never gets it
 *   back under the same id.
 * - A failed attempt counts once, and only for the owner of the slot.
 *
 * ## Assumptions
 * - A relay publishes nothing when its lease is over by its own clock, counted from before it asked for it.
 * - A relay marks as published what the broker has confirmed, and nothing else.
 */
import { Context, type Duration, type Effect, type Stream } from "effect"
import type { FailedAttempt } from "../OutboxAttempts.ts"
import type { NewEvent, PendingEvent } from "../OutboxEvent.ts"
import type { OrderRules } from "../OutboxOrder.ts"
import type { Roster } from "../OutboxShares.ts"
import type { StoreError } from "../StoreError.ts"
import type { Transaction } from "./Transaction.ts"

/** For whom there may be something: `take` or `takeWaiting`. */
export type Hint = "new" | "waiting"

/** What to take. */
export interface TakeOptions {
  readonly relay: string
  /** Those that are owned and have nothing under way, in the order in which to look at them; not empty. */
  readonly slots: ReadonlyArray<number>
  readonly limit: number
  readonly limitPerSlot: number
  readonly rules: OrderRules
}

/** What was taken. */
export interface Taken {
  readonly events: ReadonlyArray<PendingEvent>
  /** Whether there may be more than what the limits let through. */
  readonly isFull: boolean
  /** Until an event that has failed is due, if there is one. */
  readonly dueInMillis?: number | undefined
}

/** An event as an operator sees it. */
export interface EventSummary {
  readonly id: string
  readonly topic: string
  readonly key: string | undefined
  readonly createdAt: Date
  readonly attempts: number
  readonly lastError: string | undefined
  readonly nextAttemptAt: Date | undefined
  readonly state: EventState
}

/** `held` waits behind another of its key; `skipped` is dead, and its key goes on without it. */
export type EventState = "pending" | "failing" | "held" | "dead" | "skipped"

/** A transaction that has appended, or may have, and is open. */
export interface OpenTransaction {
  /** Tells one from another. */
  readonly id: string
  /** Who it is: the process id of its session and its application's name; a prepared one has neither. */
  readonly who: string
  readonly state: string
  readonly ageMillis: number
}

/** What is watched all the time, and so must cost little however much waits. */
export interface Glance {
  readonly dead: number
  /** Those that are dead do not count. */
  readonly oldestPendingMillis: number
  readonly openTransactions: ReadonlyArray<OpenTransaction>
}

export interface OutboxStats extends Glance {
  readonly pending: number
  readonly failing: number
  readonly held: number
  readonly skipped: number
}

export class Outbox extends Context.Service<
  Outbox,
  {
    /** Where it is, without credentials: for logs and errors. */
    readonly address: string
    /** Runs `work` in a transaction, in which `append` works; committed when it succeeds. */
    readonly transaction: <A, E, R>(
      work: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | StoreError, Exclude<R, Transaction>>
    /** Appends an event; gives its id. */
    readonly append: (event: NewEvent) => Effect.Effect<string, StoreError, Transaction>
    /** Appends events in their order, in one statement; gives their ids. */
    readonly appendAll: (
      events: ReadonlyArray<NewEvent>
    ) => Effect.Effect<ReadonlyArray<string>, StoreError, Transaction>

    /** Says that there may be something to take, and where; may also not say so. */
    readonly hints: Stream.Stream<Hint, StoreError>
    /** Events that have never failed. What waits behind another of its key is set aside for `takeWaiting`. */
    readonly take: (options: TakeOptions) => Effect.Effect<Taken, StoreError>
    /** Events that have failed and are due, and those behind them that nothing holds back any more. */
    readonly takeWaiting: (options: TakeOptions) => Effect.Effect<Taken, StoreError>
    readonly markPublished: (ids: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
    /** Counts failed attempts, where the relay still owns the slot. */
    readonly markFailed: (relay: string, failures: ReadonlyArray<FailedAttempt>) => Effect.Effect<void, StoreError>

    /** A new relay, which owns nothing yet; gives its id. */
    readonly enrol: (lease: Duration.Duration) => Effect.Effect<string, StoreError>
    /** Goes on living, and strikes off who does not; `undefined` if this relay was struck off itself. */
    readonly renew: (relay: string, lease: Duration.Duration) => Effect.Effect<Roster | undefined, StoreError>
    /** Takes slots that are nobody's; gives those that it got. */
    readonly acquire: (relay: string, slots: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<number>, StoreError>
    readonly release: (relay: string, slots: ReadonlyArray<number>) => Effect.Effect<void, StoreError>
    /** Gives up everything. */
    readonly leave: (relay: string) => Effect.Effect<void, StoreError>

    /** Removes at most `limit` that were published longer ago than `age`; the number of those removed. */
    readonly removePublished: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
    readonly glance: (rules: OrderRules) => Effect.Effect<Glance, StoreError>
    /** Counts all that is not published. */
    readonly stats: (rules: OrderRules) => Effect.Effect<OutboxStats, StoreError>
    /** Those that are not published, oldest first. */
    readonly list: (
      rules: OrderRules,
      options: { readonly onlyDead: boolean; readonly limit: number }
    ) => Effect.Effect<ReadonlyArray<EventSummary>, StoreError>
    /** Brings failing and dead events back with all their attempts, all of them or those of these ids; which. */
    readonly retry: (
      ids: ReadonlyArray<string> | "all",
      rules: OrderRules
    ) => Effect.Effect<ReadonlyArray<string>, StoreError>
    /** Lets keys go on without these dead events; which of them were dead. */
    readonly skip: (ids: ReadonlyArray<string>, rules: OrderRules) => Effect.Effect<ReadonlyArray<string>, StoreError>
  }
>()("paystream/domain/ports/Outbox") {}
