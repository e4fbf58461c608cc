/**
 * Due retries in, redeliveries out: what waits for an ordered group, each key in its order.
 *
 * ## Guarantees
 * - Of one key, one message is in hand at a time, in any process; the next comes when it is settled as done.
 * - A claim that could not be renewed in time ends the stream before another process may take it over.
 *
 * ## Assumptions
 * - Whoever consumes the stream stops what it has in hand when the stream fails.
 */
import { type Cause, Clock, Duration, Effect, Queue, Random, Stream } from "effect"
import type { DelayedMessage, Delivery } from "../domain/ports/Broker.ts"
import { leaseSeconds, type WaitingHead, type WaitingMessages } from "../domain/ports/WaitingMessages.ts"
import { StoreAway, StoreError } from "../domain/StoreError.ts"

/** How often to look for what others have left behind. */
const pollMillis = 500
/** What this process has parked for less is looked for when it is due; of a longer wait the poll is a small part. */
const exactUpTo = Duration.minutes(1)
/** Not to ask again and again for what another process has. */
const shortestPollMillis = 10

const renewalInterval = "2 seconds"
/** A slow answer, the interval and an answer that does not come are less than the lease together. */
const renewalTimeout = Duration.seconds(leaseSeconds * 0.3)

/** What a redelivery carries as its receipt. */
class WaitingReceipt {
  /** What was said of it last is on its way to the store. */
  isSettling = false
  isPostponed = false
  readonly head: WaitingHead
  constructor(head: WaitingHead) {
    this.head = head
  }
}

const receiptOf = ({ receipt }: Delivery) => (receipt instanceof WaitingReceipt ? receipt : undefined)

export interface RetrySchedule {
  /** Runs until it fails. */
  readonly redeliveries: Stream.Stream<Delivery, StoreError>
  /** Whether a delivery came from here. */
  readonly isOwn: (delivery: Delivery) => boolean
  /** Removes the message; the next of its key follows. */
  readonly done: (delivery: Delivery) => Effect.Effect<void, StoreError>
  /** Keeps a message that came from here for longer. */
  readonly postpone: (delivery: Delivery, message: DelayedMessage) => Effect.Effect<void, StoreError>
  /** Keeps a message that came from elsewhere, as the first of its key. */
  readonly park: (key: string, message: DelayedMessage) => Effect.Effect<void, StoreError>
}

export interface RetryScheduleOptions {
  readonly waiting: WaitingMessages["Service"]
  readonly group: string
  /** Keys in hand at the same time. */
  readonly limit: number
}

/** A schedule of its own for each run of a worker. */
export const make = Effect.fnUntraced(function* ({ group, limit, waiting }: RetryScheduleOptions) {
  const owner = `${yield* Random.nextInt}:${yield* Random.nextInt}`
  const found = yield* Queue.unbounded<Delivery, StoreError | Cause.Done>()
  const held = new Set<WaitingReceipt>()
  /** When what this process has parked for a short while is due. */
  let dueTimes: Array<number> = []

  const offer = (head: WaitingHead): void => {
    const receipt = new WaitingReceipt(head)
    held.add(receipt)
    Queue.offerUnsafe(found, { ...head.message, attempt: head.attempt, receipt })
  }
  const noteDue = (delay: Duration.Duration) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (Duration.isLessThanOrEqualTo(delay, exactUpTo)) dueTimes.push(now + Duration.toMillis(delay))
    })
  const settling = <A>(receipt: WaitingReceipt, say: Effect.Effect<A, StoreError>) => {
    receipt.isSettling = true
    return Effect.tap(say, () => Effect.sync(() => held.delete(receipt)))
  }

  // Not to be interrupted: a head that was claimed and not noted would wait until its claim lapses.
  const claim = Effect.uninterruptible(
    Effect.gen(function* () {
      const heads = held.size < limit ? yield* waiting.claim(group, owner, limit - held.size) : []
      heads.forEach(offer)
      const now = yield* Clock.currentTimeMillis
      dueTimes = dueTimes.filter((due) => due > now)
      const next = dueTimes.reduce((soonest, due) => Math.min(soonest, due - now), pollMillis)
      return heads.length > 0 && held.size < limit ? shortestPollMillis : Math.max(shortestPollMillis, next)
    })
  )
  const claiming = Effect.forever(Effect.flatMap(claim, Effect.sleep))
  const renewing = Effect.forever(Effect.andThen(Effect.sleep(renewalInterval), renew(waiting, group, owner, held)))

  return {
    redeliveries: Stream.scoped(
      Stream.unwrap(
        Effect.as(
          Effect.addFinalizer(() => Effect.ignore(waiting.release(group, owner))),
          Stream.fromQueue(found).pipe(Stream.mergeEffect(claiming), Stream.mergeEffect(renewing))
        )
      )
    ),
    isOwn: (delivery) => receiptOf(delivery) !== undefined,
    done: (delivery) => {
      const receipt = receiptOf(delivery)
      if (receipt === undefined || receipt.isPostponed) return Effect.void
      return Effect.uninterruptible(
        Effect.map(settling(receipt, waiting.complete(owner, receipt.head)), (next) => next && offer(next))
      )
    },
    postpone: (delivery, { delay, ...message }) => {
      const receipt = receiptOf(delivery)
      if (receipt === undefined) return Effect.void
      receipt.isPostponed = true
      return Effect.andThen(settling(receipt, waiting.postpone(owner, receipt.head, message, delay)), noteDue(delay))
    },
    park: (key, { delay, ...message }) => Effect.andThen(waiting.park(group, { key, message }, delay), noteDue(delay))
  } satisfies RetrySchedule as RetrySchedule
})

const lost = (group: string, what: string) =>
  new StoreError({ reason: new StoreAway({ detail: `waiting messages of ${group}: ${what}`, code: "lease" }) })

/** Fails when a claim was lost, or when it cannot be said in time that none was. */
const renew = Effect.fnUntraced(function* (
  waiting: WaitingMessages["Service"],
  group: string,
  owner: string,
  held: ReadonlySet<WaitingReceipt>
) {
  const before = [...held].filter(({ isSettling }) => !isSettling)
  if (before.length === 0) return
  const count = yield* waiting.renew(group, owner).pipe(
    Effect.timeoutOrElse({
      duration: renewalTimeout,
      orElse: () => Effect.fail(lost(group, "the claims could not be renewed in time"))
    })
  )
  const still = before.filter((receipt) => held.has(receipt) && !receipt.isSettling)
  if (count < still.length) return yield* lost(group, `${still.length - count} claims were lost to another process`)
})
