/**
 * Spans of what is handled, each in the trace of its publisher: for the payment worker one per batch and one per message
 * whose publisher is traced, for a topic worker one per message.
 */
import { Clock, Context, Effect, Exit, Option, Tracer } from "effect"
import type { Delivery } from "../domain/ports/Broker.ts"
import { CurrentMessage } from "./CurrentMessage.ts"
import { publisherOf, type Trace, traceFrom } from "./Trace.ts"

/** Whether spans go anywhere. Off, the hot path makes none. */
export const TracingEnabled = Context.Reference<boolean>("paystream/streams/TracingEnabled", {
  defaultValue: () => false
})

/** Where messages came from. */
export interface Source {
  /** The broker's kind. */
  readonly system: string
  /** The queue or the topic. */
  readonly destination: string
}

const attributes = ({ destination, system }: Source) => ({
  "messaging.system": system,
  "messaging.operation.type": "process",
  "messaging.operation.name": "process",
  "messaging.destination.name": destination
})

const idOf = ({ id }: Delivery) => (id === undefined ? {} : { "messaging.message.id": id })

/** Links and child spans as the semantic conventions for messaging ask of a consumer of batches. */
export const withBatchSpan =
  (source: Source, batch: ReadonlyArray<Delivery>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.flatMap(TracingEnabled, (enabled): Effect.Effect<A, E, R> => {
      if (!enabled) return work
      const name = `process ${source.destination}`
      const published = batch.flatMap((delivery) =>
        Option.toArray(Option.map(publisherOf(delivery.headers), (span) => ({ delivery, span })))
      )
      const each = Effect.forEach(
        published,
        ({ delivery, span }) =>
          Effect.makeSpanScoped(name, {
            parent: span,
            kind: "consumer",
            attributes: { ...attributes(source), ...idOf(delivery) }
          }),
        { discard: true }
      )
      const all = Effect.withSpan(work, name, {
        kind: "consumer",
        attributes: { ...attributes(source), "messaging.batch.message_count": batch.length },
        links: published.map(({ span }) => ({ span, attributes: {} }))
      })
      return Effect.scoped(Effect.andThen(each, all)) as Effect.Effect<A, E, R>
    })

/** A message in the hands of a topic worker. */
export interface TracedMessage extends Source {
  readonly delivery: Delivery
  readonly worker: string
  readonly group: string
}

/**
 * Works on one message in a span of its own, which is told the trace that goes on from it. `problemOf` says whether what
 * came of it is an error; errors' own texts are left out, since what they say of the message is not for a collector.
 */
export const inMessageSpan = <A, E, R>(
  { delivery, group, worker, ...source }: TracedMessage,
  work: (trace: Trace) => Effect.Effect<A, E, R>,
  problemOf: (result: A) => string | undefined
): Effect.Effect<A, E, R> => {
  const publisher = publisherOf(delivery.headers)
  const span = Effect.makeSpan(`process ${source.destination}`, {
    ...(Option.isSome(publisher) ? { parent: publisher.value } : { root: true }),
    kind: "consumer",
    attributes: {
      ...attributes(source),
      ...idOf(delivery),
      "messaging.consumer.group.name": group,
      "paystream.worker": worker
    }
  })
  return Effect.flatMap(span, (span) =>
    Effect.onExit(Effect.withParentSpan(work(traceFrom(span, delivery.headers)), span), (exit) =>
      Effect.map(Clock.currentTimeNanos, (now) => span.end(now, endOf(span, exit, problemOf)))
    )
  ) as Effect.Effect<A, E, R>
}

const endOf = <A, E>(
  span: Tracer.Span,
  exit: Exit.Exit<A, E>,
  problemOf: (result: A) => string | undefined
): Exit.Exit<unknown, unknown> => {
  const problem = Exit.isSuccess(exit) ? problemOf(exit.value) : undefined
  if (problem === undefined) return exit
  span.attribute("error.type", problem)
  return Exit.fail(problem)
}

/** The trace that goes on: from the span that is open, where spans go anywhere; else as it came in, if it did. */
export const onwardTrace = (context: Context.Context<never>, carried: Trace | undefined): Trace | undefined => {
  if (!Context.get(context, TracingEnabled)) return carried
  const span = Context.getOption(context, Tracer.ParentSpan)
  return Option.isSome(span) ? traceFrom(span.value, carried) : carried
}

/** The trace that what is published now belongs to: from the span that is open, or from what is worked on. */
export const currentTrace: Effect.Effect<Trace | undefined> = Effect.map(Effect.context<never>(), (context) =>
  onwardTrace(context, Context.get(context, CurrentMessage)?.trace)
)
