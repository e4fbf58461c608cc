/**
 * How what is told of payments leaves the transaction that it belongs to: through the outbox, or after the commit.
 *
 * ## Guarantees
 * - `outbox`: state and events are committed together or not at all, and a relay publishes them in order.
 * - `afterCommit` (`ENABLE_OUTBOX_PATTERN=false`): what was not committed is not told. A crash or a broker that is away
 *   right after the commit loses an event, which is why the outbox is the default.
 */
import { Clock, Context, Effect, Layer, Metric } from "effect"
import type { NewEvent } from "../domain/OutboxEvent.ts"
import { Broker, BrokerAway, BrokerError, type TopicMessage } from "../domain/ports/Broker.ts"
import { Outbox } from "../domain/ports/Outbox.ts"
import type { Transaction } from "../domain/ports/Transaction.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { currentTrace } from "./Tracing.ts"

/** What a transaction gives, and what is to be told of it. */
export interface Committing<A> {
  readonly value: A
  readonly events: ReadonlyArray<NewEvent>
}

export class PaymentOutlet extends Context.Service<
  PaymentOutlet,
  {
    /** Runs `work` in one transaction and tells of it what it gives to be told. */
    readonly commit: <A, E, R>(
      work: Effect.Effect<Committing<A>, E, R>
    ) => Effect.Effect<A, E | StoreError, Exclude<R, Transaction>>
  }
>()("paystream/streams/PaymentOutlet") {
  /** Events are stored beside the state, in the same transaction. */
  static readonly outbox = Layer.effect(
    PaymentOutlet,
    Effect.map(Outbox, (outbox) =>
      PaymentOutlet.of({
        commit: (work) =>
          outbox.transaction(
            Effect.flatMap(work, ({ events, value }) =>
              events.length === 0
                ? Effect.succeed(value)
                : Effect.as(Effect.flatMap(traced(events), outbox.appendAll), value)
            )
          )
      })
    )
  )

  /** Events are published when the transaction is committed. */
  static readonly afterCommit = Layer.effect(
    PaymentOutlet,
    Effect.gen(function* () {
      const outbox = yield* Outbox
      const broker = yield* Broker
      return PaymentOutlet.of({
        commit: (work) =>
          Effect.flatMap(outbox.transaction(work), ({ events, value }) =>
            Effect.as(
              Effect.flatMap(traced(events), (events) => publish(broker, events)),
              value
            )
          )
      })
    })
  )
}

/** Who takes an event goes on with the trace of who told it. */
const traced = (events: ReadonlyArray<NewEvent>): Effect.Effect<ReadonlyArray<NewEvent>> =>
  Effect.map(currentTrace, (trace) =>
    trace === undefined ? events : events.map((event) => ({ ...event, headers: { ...trace, ...event.headers } }))
  )

const lost = Metric.counter("paystream_payment_events_lost_total", {
  description: "Events of payments that were committed and could not be published (ENABLE_OUTBOX_PATTERN=false)",
  incremental: true
})

const encoder = new TextEncoder()

const messageOf = ({ headers, key, payload, topic }: NewEvent, atMillis: number): TopicMessage => ({
  topic,
  id: undefined,
  body: encoder.encode(JSON.stringify(payload)),
  contentType: "application/json",
  publishedAtMillis: atMillis,
  headers: key === undefined ? { ...headers } : { ...headers, key }
})

/** A broker that takes nothing for now (its disk is full) holds up no payment for longer. */
const longestPublish = "5 seconds"

const unanswered = new BrokerError({
  reason: new BrokerAway({ detail: `the broker does not confirm within ${longestPublish}` })
})

/** The state is committed by now: what cannot be published is told, and fails nobody. */
const publish = Effect.fnUntraced(function* (broker: Broker["Service"], events: ReadonlyArray<NewEvent>) {
  if (events.length === 0) return
  const now = yield* Clock.currentTimeMillis
  const published = broker
    .publishToTopics(events.map((event) => messageOf(event, now)))
    .pipe(Effect.timeoutOrElse({ duration: longestPublish, orElse: () => Effect.fail(unanswered) }))
  yield* Effect.catch(published, (error) =>
    Effect.andThen(
      Metric.update(lost, events.length),
      Effect.annotateLogs(Effect.logError(`events of a payment are lost: ${error.message}`), {
        paymentId: events[0]?.key,
        topics: events.map(({ topic }) => topic).join(" ")
      })
    )
  )
})
