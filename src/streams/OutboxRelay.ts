/**
 * The outbox at work: events taken → published, confirmed → marked.
 *
 * ## Guarantees
 * - At least once: an event is marked only after the broker has confirmed it. A crash between the two publishes it
 *   again, with the same message id; the other order would lose it.
 * - Ordered per key: one relay at a time owns a key, and the next event of a key is published when the one before it is
 *   confirmed. What comes late of a relay that froze is a repeat, never an event's first time.
 * - A failing event concerns its own key alone; the broker being away concerns none.
 *
 * ## Assumptions
 * - A consumer tells repeats by the message id.
 */
import { Clock, Duration, Effect, Random, Schedule, Stream } from "effect"
import { type FailedAttempt, failedAttempt } from "../domain/OutboxAttempts.ts"
import type { PendingEvent } from "../domain/OutboxEvent.ts"
import type { OrderRules } from "../domain/OutboxOrder.ts"
import { Outbox } from "../domain/ports/Outbox.ts"
import type { RetryPolicy } from "../domain/RetryPolicy.ts"
import type { StoreError } from "../domain/StoreError.ts"
import * as OutboxAgenda from "./OutboxAgenda.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import * as OutboxPublisher from "./OutboxPublisher.ts"
import * as OutboxShare from "./OutboxShare.ts"
import { outboxUpkeep } from "./OutboxUpkeep.ts"
import { Shutdown, untilShutdown } from "./Shutdown.ts"
import { supervised } from "./Supervisor.ts"

export interface OutboxRelayOptions {
  readonly rules: OrderRules
  readonly retry: RetryPolicy
  readonly lease: Duration.Duration
  /** How often to look without a hint. */
  readonly poll: Duration.Duration
  readonly batchSize: number
  readonly batchesInFlight: number
  readonly retention: Duration.Duration
  /** Open for longer than this, a transaction that may have appended is told. */
  readonly openTransactionWarning: Duration.Duration
}

/** What became of a batch. */
export interface RelayReport {
  readonly published: number
  readonly failed: number
  readonly dead: number
}

interface Batch {
  readonly relay: string
  readonly events: ReadonlyArray<PendingEvent>
  readonly slots: ReadonlySet<number>
  readonly kind: "new" | "waiting"
  /** Whether its slots are to be looked at again, whatever else is told. */
  readonly isFull: boolean
  /** The news that were known when it was looked for. */
  readonly news: number
}

/** A report for each batch; ends when asked to shut down. */
export const outboxRelay = (options: OutboxRelayOptions) =>
  Stream.unwrap(
    Effect.sync(() => {
      const agenda = OutboxAgenda.make(options.poll)
      const share = OutboxShare.make(options.lease, agenda.lookEverywhere)
      const relaying = Stream.unwrap(
        Effect.map(OutboxPublisher.make(options.batchesInFlight), (publish) => {
          share.reset()
          agenda.lookEverywhere()
          return Stream.fromEffectRepeat(nextBatch(agenda, share, options)).pipe(
            untilShutdown,
            Stream.mapEffect((batch) => relay(batch, { agenda, share, publish, options }), {
              concurrency: options.batchesInFlight,
              unordered: true
            })
          )
        })
      ).pipe(supervised("outbox relay"))
      const hinting = Stream.unwrap(Outbox.useSync(({ hints }) => hints)).pipe(
        Stream.tap((hint) => Effect.sync(hint === "new" ? agenda.hint : agenda.lookEverywhere)),
        supervised("outbox hints")
      )
      const background = Stream.mergeAll(
        [Stream.drain(hinting), Stream.drain(share.kept), Stream.drain(outboxUpkeep(options, share))],
        { concurrency: "unbounded" }
      )
      return Stream.merge(relaying, background, { haltStrategy: "left" }).pipe(Stream.ensuring(share.leave))
    })
  )

// Taking

/** Waits until there may be something, and then is a batch; its slots are busy from then on. */
const nextBatch = Effect.fnUntraced(function* (
  agenda: OutboxAgenda.Agenda,
  share: OutboxShare.Share,
  options: OutboxRelayOptions
): Effect.fn.Return<Batch, StoreError, Outbox> {
  while (true) {
    yield* agenda.rest
    const news = yield* agenda.begin
    const batch = (yield* takeWaiting(agenda, share, options, news)) ?? (yield* takeNew(agenda, share, options, news))
    if (batch === undefined) continue
    share.begin(batch.slots)
    // All that was new was taken, unless it says otherwise: a look for what is left would find nothing.
    if (batch.isFull || batch.kind === "waiting") agenda.wake()
    return batch
  }
})

const limitsOf = ({ batchSize, batchesInFlight }: OutboxRelayOptions, ownedSlots: number, largest: number) => ({
  limit: Math.min(batchSize, largest),
  // So that one batch does not occupy all slots, and the next one finds some.
  limitPerSlot: Math.ceil((batchSize * batchesInFlight) / Math.max(1, ownedSlots))
})

const takeNew = Effect.fnUntraced(function* (
  agenda: OutboxAgenda.Agenda,
  share: OutboxShare.Share,
  options: OutboxRelayOptions,
  news: number
) {
  const outbox = yield* Outbox
  const free = yield* share.free
  if (free === undefined) return undefined
  const taken = yield* outbox.take({
    ...free,
    ...limitsOf(options, share.owned().length, agenda.largest()),
    rules: options.rules
  })
  agenda.measure(taken.events)
  if (taken.events.length === 0 && taken.isFull) agenda.wake()
  return toBatch(free.relay, taken, "new", news)
})

const takeWaiting = Effect.fnUntraced(function* (
  agenda: OutboxAgenda.Agenda,
  share: OutboxShare.Share,
  options: OutboxRelayOptions,
  news: number
) {
  if (agenda.unlooked.size === 0) return undefined
  const free = yield* share.free
  const slots = free?.slots.filter((slot) => agenda.unlooked.has(slot)) ?? []
  if (free === undefined || slots.length === 0) return undefined
  const outbox = yield* Outbox
  const { relay } = free
  const taken = yield* outbox.takeWaiting({
    relay,
    slots,
    ...limitsOf(options, share.owned().length, agenda.largest()),
    rules: options.rules
  })
  // More than what one look takes in goes on with the next one.
  if (!taken.isFull) for (const slot of slots) agenda.unlooked.delete(slot)
  else if (taken.events.length === 0) agenda.wake()
  if (taken.dueInMillis !== undefined) agenda.isDueIn(taken.dueInMillis, yield* Clock.currentTimeMillis)
  return toBatch(relay, taken, "waiting", news)
})

const toBatch = (
  relay: string,
  { events, isFull }: { readonly events: ReadonlyArray<PendingEvent>; readonly isFull: boolean },
  kind: Batch["kind"],
  news: number
): Batch | undefined =>
  events.length === 0
    ? undefined
    : { relay, events, isFull, kind, news, slots: new Set(events.map(({ slot }) => slot)) }

// Publishing

interface Running {
  readonly agenda: OutboxAgenda.Agenda
  readonly share: OutboxShare.Share
  readonly publish: Effect.Success<ReturnType<typeof OutboxPublisher.make>>
  readonly options: OutboxRelayOptions
}

/** Publishes a batch and marks it. */
const relay = (batch: Batch, { agenda, options, publish, share }: Running) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const progress: OutboxPublisher.Progress = { published: [], refused: [] }
      const exit = yield* Effect.exit(restore(publish(batch.events, progress, share.mayPublish(batch.relay))))
      // Marked whatever came after, a shutdown included: what is confirmed and not marked would be published again.
      const report = yield* mark(batch, progress, agenda, options)
      if (batch.kind === "waiting") for (const slot of batch.slots) agenda.unlooked.add(slot)
      return yield* Effect.as(exit, report)
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          share.end(batch.slots)
          // Whatever was committed for its slots meanwhile was passed over.
          if (batch.isFull || agenda.news() > batch.news) agenda.wake()
        })
      )
    )
  )

const mark = Effect.fnUntraced(function* (
  batch: Batch,
  { published, refused }: OutboxPublisher.Progress,
  agenda: OutboxAgenda.Agenda,
  { retry, rules }: OutboxRelayOptions
): Effect.fn.Return<RelayReport, StoreError, Outbox | Shutdown> {
  const outbox = yield* Outbox
  if (published.length > 0) yield* insistently(outbox.markPublished(published.map(({ id }) => id)))
  if (refused.length === 0) {
    const report = { published: published.length, failed: 0, dead: 0 }
    return yield* Effect.as(OutboxMetrics.batch(report), report)
  }
  const failures: Array<FailedAttempt> = []
  for (const { error, event } of refused) failures.push(failedAttempt(event, error.message, retry, yield* Random.next))
  yield* insistently(outbox.markFailed(batch.relay, failures))
  const now = yield* Clock.currentTimeMillis
  for (const { delay } of failures) agenda.isDueIn(Duration.toMillis(delay), now)
  // Whoever rests already does so until what was due before.
  agenda.wake()
  const dead = refused.filter(({ event }) => event.attempts + 1 >= rules.maxAttempts)
  yield* Effect.forEach(refused, (refusal) => tell(refusal, rules), { discard: true })
  const report = { published: published.length, failed: refused.length, dead: dead.length }
  return yield* Effect.as(OutboxMetrics.batch(report), report)
})

const tell = ({ error, event }: OutboxPublisher.Refusal, { dead, maxAttempts }: OrderRules) => {
  const attempts = event.attempts + 1
  const isDead = attempts >= maxAttempts
  const holds =
    event.key !== undefined && dead === "hold"
      ? "; later events of its key wait for `outbox retry` or `outbox skip`"
      : ""
  return (
    isDead ? Effect.logError(`outbox event is dead${holds}`) : Effect.logWarning("outbox event was not taken")
  ).pipe(Effect.annotateLogs({ eventId: event.id, topic: event.topic, attempts, reason: error.message }))
}

/** 0.1, 0.2, 0.4 … s, at most 5 s. */
const whileAway = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")])

/** Until the database has taken it, or somebody asks to stop. */
const insistently = <A, R>(effect: Effect.Effect<A, StoreError, R>) =>
  Effect.flatMap(Shutdown, ({ isRequested }) =>
    Effect.retry(effect, {
      schedule: whileAway,
      while: (error) => Effect.map(isRequested, (stop) => error.isRetryable && !stop)
    })
  )
