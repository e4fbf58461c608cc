/**
 * An ordered subscription as a source of messages: order per key holds through retries and across processes.
 *
 * A message whose key waits is kept behind it (`WaitingMessages`) and settled at the broker, so that it occupies neither
 * a handler nor the prefetch. All others go straight through; what waits comes from the `RetrySchedule`.
 *
 * ## Guarantees
 * - Per key one message is in hand at a time; the next one when it is settled, and not while the key waits.
 * - Kept before it is settled: a crash between the two keeps it twice, the other order loses it.
 *
 * ## Assumptions
 * - The subscription is ordered: as long as we have a key's message, nobody else has one of that key.
 * - Messages without a key have no order.
 */
import { Effect, Option, Queue, Schema, Stream } from "effect"
import {
  Broker,
  contentOf,
  type DelayedMessage,
  type Delivery,
  isRevoked,
  type Settlement,
  type Subscription
} from "../domain/ports/Broker.ts"
import { WaitingMessages } from "../domain/ports/WaitingMessages.ts"
import type { MessageSource } from "./MessageSource.ts"
import * as RetrySchedule from "./RetrySchedule.ts"
import type { Any } from "./Worker.ts"
import { queueOf } from "./WorkerChecks.ts"
import { keyOf } from "./WorkerMessages.ts"

export interface OrderedLanesOptions {
  readonly worker: Any
  readonly subscription: Subscription
}

/** An ordered worker where there is nothing to keep what waits. */
export class OrderedUnavailable extends Schema.TaggedError<OrderedUnavailable>()("OrderedUnavailable", {
  worker: Schema.String
}) {
  readonly isRetryable = false
  override get message(): string {
    return `worker ${this.worker} has ordered: true, and nothing is there to keep what that needs: provide Stores.fromSettings() (with DATABASE_URL, or DATABASE=embedded) beside the broker, or take ordered out`
  }
}

/** Of each key, the delivery that is in hand, or about to be, and those behind it. */
const makeLanes = (on: { readonly next: (delivery: Delivery) => void; readonly turn: (key: string) => void }) => {
  const lanes = new Map<string, Array<Delivery>>()
  return {
    arrived: (deliveries: ReadonlyArray<Delivery>): void => {
      for (const delivery of deliveries) {
        const key = keyOf(delivery)
        const lane = key === undefined ? undefined : lanes.get(key)
        if (key === undefined) on.next(delivery)
        else if (lane !== undefined) lane.push(delivery)
        else {
          lanes.set(key, [delivery])
          on.turn(key)
        }
      }
    },
    /** So many of a key are settled. */
    advance: (key: string, settled: number): void => {
      const lane = lanes.get(key)
      if (lane === undefined) return
      lane.splice(0, settled)
      if (lane.length === 0) lanes.delete(key)
      else on.turn(key)
    },
    of: (key: string): ReadonlyArray<Delivery> => [...(lanes.get(key) ?? [])]
  }
}

interface Looking {
  readonly broker: Broker["Service"]
  readonly waiting: WaitingMessages["Service"]
  readonly group: string
  readonly lanes: ReturnType<typeof makeLanes>
  readonly turns: Queue.Dequeue<string>
  readonly next: (delivery: Delivery) => void
}

/** Hands out the first of each key whose turn it is, or keeps all of a key that waits. */
const looking = ({ broker, group, lanes, next, turns, waiting }: Looking) => {
  const keep = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
    const behind = keys.flatMap((key) => lanes.of(key).map((delivery) => ({ key, delivery })))
    const ours = behind.filter(({ delivery }) => !isRevoked(delivery))
    const messages = ours.map(({ delivery, key }) => ({ key, message: contentOf(delivery) }))
    const kept = yield* waiting.append(group, messages)
    const settled = ours.filter((_, index) => kept[index])
    yield* broker.settle(settled.map(({ delivery }) => ({ delivery, outcome: "done" })))
    const ofKey = Map.groupBy([...behind.filter(({ delivery }) => isRevoked(delivery)), ...settled], ({ key }) => key)
    // A key that waits no longer has its turn at the next look.
    for (const key of keys) lanes.advance(key, ofKey.get(key)?.length ?? 0)
  })

  // Asked for many at once, when it is their turn: nobody but who has a key's message changes whether it waits.
  return Effect.gen(function* () {
    const keys = yield* Queue.takeAll(turns)
    const waits = yield* waiting.keysWaiting(group, keys)
    const free = keys.filter((key) => !waits.has(key))
    for (const delivery of free.flatMap((key) => lanes.of(key).slice(0, 1))) next(delivery)
    if (waits.size > 0) yield* keep([...waits])
  })
}

/** A source of its own for each run of a worker. */
export const make = Effect.fnUntraced(function* ({ subscription, worker }: OrderedLanesOptions) {
  const broker = yield* Broker
  const group = `${broker.kind} ${queueOf(worker)}`
  const found = yield* Effect.serviceOption(WaitingMessages)
  if (Option.isNone(found)) return yield* new OrderedUnavailable({ worker: worker.name })
  const waiting = found.value
  yield* waiting.prepare
  const schedule = yield* RetrySchedule.make({ waiting, group, limit: worker.concurrency })
  const out = yield* Queue.unbounded<Delivery>()
  /** Keys whose first delivery is to be handed out, or kept. */
  const turns = yield* Queue.unbounded<string>()
  const next = (delivery: Delivery) => void Queue.offerUnsafe(out, delivery)
  const lanes = makeLanes({ next, turn: (key) => void Queue.offerUnsafe(turns, key) })

  const look = looking({ broker, waiting, group, lanes, turns, next })
  const settleOwn = Effect.fnUntraced(function* (settlements: ReadonlyArray<Settlement>) {
    yield* broker.settle(settlements)
    for (const { delivery, outcome } of settlements) {
      const key = keyOf(delivery)
      // What is returned keeps its key: those behind it are returned too, unless they are somebody else's by now.
      if (key !== undefined && (outcome !== "return" || isRevoked(delivery))) lanes.advance(key, 1)
    }
  })

  return {
    deliveries: ({ prefetch }) => {
      const arriving = Stream.runForEachArray(broker.deliveries(subscription, { prefetch }), (batch) =>
        Effect.sync(() => lanes.arrived(batch))
      )
      return Stream.fromQueue(out).pipe(
        Stream.mergeEffect(arriving),
        Stream.mergeEffect(Effect.forever(look)),
        Stream.merge(schedule.redeliveries)
      )
    },
    backlog: Effect.zipWith(broker.backlog(subscription), waiting.count(group), (queued, kept) => queued + kept),
    settle: (settlements) => {
      const own = settlements.filter(({ delivery }) => !schedule.isOwn(delivery))
      const redelivered = settlements.filter(({ delivery }) => schedule.isOwn(delivery))
      return Effect.andThen(
        settleOwn(own),
        Effect.forEach(redelivered, ({ delivery, outcome }) =>
          outcome === "return" ? Effect.void : schedule.done(delivery)
        )
      )
    },
    deliverLater: (delivery: Delivery, message: DelayedMessage) => {
      const key = keyOf(delivery)
      if (schedule.isOwn(delivery)) return schedule.postpone(delivery, message)
      // Whoever has its key now gets it too: parked here, it would come between what that one has in hand.
      if (isRevoked(delivery)) return Effect.void
      return key === undefined ? broker.deliverLater(subscription, [message]) : schedule.park(key, message)
    }
  } satisfies MessageSource as MessageSource
})
