/** What a test does with an outbox, as a program that appends and as a relay. */
import { assert } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { NewEvent, PendingEvent } from "../../src/domain/OutboxEvent.ts"
import { slotCount } from "../../src/domain/OutboxEvent.ts"
import type { OrderRules } from "../../src/domain/OutboxOrder.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"

export const allSlots = Array.from({ length: slotCount }, (_, slot) => slot)
export const rules: OrderRules = { maxAttempts: 3, dead: "hold" }
export const lease = Duration.seconds(30)

/** An event with only what a test cares about. */
export const event = (key: string | undefined, n: number, fields: Partial<NewEvent> = {}): NewEvent => ({
  topic: "payments.stored",
  key,
  payload: { n },
  ...fields
})

export const append = (...events: ReadonlyArray<NewEvent>) =>
  Outbox.use((outbox) => outbox.transaction(outbox.appendAll(events)))

/** A relay that owns everything, and nobody beside it. */
export const relay = Effect.acquireRelease(
  Effect.gen(function* () {
    const outbox = yield* Outbox
    const id = yield* outbox.enrol(lease)
    assert.strictEqual((yield* outbox.acquire(id, allSlots)).length, slotCount)
    return id
  }),
  (id) => Effect.ignore(Outbox.use((outbox) => outbox.leave(id)))
)

export const options = (
  relay: string,
  changes: Partial<{ limit: number; limitPerSlot: number; rules: OrderRules }> = {}
) => ({
  relay,
  slots: allSlots,
  limit: 1000,
  limitPerSlot: 1000,
  rules,
  ...changes
})

export const numbers = (events: ReadonlyArray<PendingEvent>) =>
  events.map(({ payload }) => JSON.parse(payload).n as number)

export const take = (id: string, changes?: Parameters<typeof options>[1]) =>
  Outbox.use((outbox) => Effect.map(outbox.take(options(id, changes)), ({ events }) => events))
export const takeWaiting = (id: string, changes?: Parameters<typeof options>[1]) =>
  Outbox.use((outbox) => Effect.map(outbox.takeWaiting(options(id, changes)), ({ events }) => events))

export const fail = (id: string, events: ReadonlyArray<PendingEvent>, delay: Duration.Input = 0) =>
  Outbox.use((outbox) =>
    outbox.markFailed(
      id,
      events.map((one) => ({
        id: one.id,
        attemptsBefore: one.attempts,
        reason: "refused",
        delay: Duration.fromInputUnsafe(delay)
      }))
    )
  )

export const publish = (events: ReadonlyArray<PendingEvent>) =>
  Outbox.use((outbox) => outbox.markPublished(events.map((one) => one.id)))

/** As a relay does all the time, and learns from it what it may pass over. */
export const renewOften = (id: string) =>
  Outbox.use((outbox) => Effect.replicateEffect(outbox.renew(id, lease), 3, { discard: true }))

/** Fails the first event of key "a" until it is dead. */
export const kill = Effect.fnUntraced(function* (id: string) {
  const firstOf = (events: ReadonlyArray<PendingEvent>) => events.filter(({ key }) => key === "a").slice(0, 1)
  const dying = firstOf(yield* take(id))
  yield* fail(id, dying)
  for (let attempt = 2; attempt <= rules.maxAttempts; attempt++) yield* fail(id, firstOf(yield* takeWaiting(id)))
  return dying[0] as PendingEvent
})

/** Nothing of one test is left to the next: events that nobody wants are published. */
export const inEmptyOutbox = <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.ensuring(
    Effect.scoped(test),
    Effect.orDie(
      Outbox.use((outbox) =>
        Effect.flatMap(outbox.list(rules, { onlyDead: false, limit: 10_000 }), (rest) =>
          outbox.markPublished(rest.map(({ id }) => id))
        )
      )
    )
  )
