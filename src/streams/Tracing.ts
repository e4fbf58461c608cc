/** Spans of the payment worker: one per batch, and one per message whose publisher is traced, in the publisher's trace. */
import { Context, Effect, Option, type Tracer } from "effect"
import { HttpTraceContext } from "effect/http"
import type { Delivery } from "../domain/ports/Broker.ts"

/** Whether spans go anywhere. Off, the hot path makes none. */
export const TracingEnabled = Context.Reference<boolean>("paystream/streams/TracingEnabled", {
  defaultValue: () => false
})

/** Where a batch came from. */
export interface Source {
  /** The broker's kind. */
  readonly system: string
  readonly queue: string
}

const attributes = ({ queue, system }: Source, count: number) => ({
  "messaging.system": system,
  "messaging.operation.type": "process",
  "messaging.operation.name": "process",
  "messaging.destination.name": queue,
  "messaging.batch.message_count": count
})

const publisherSpan = ({ headers }: Delivery): Option.Option<Tracer.ExternalSpan> =>
  typeof headers.traceparent === "string"
    ? HttpTraceContext.fromHeaders({ traceparent: headers.traceparent } as never)
    : Option.none()

/** Links and child spans as the semantic conventions for messaging ask of a consumer of batches. */
export const withBatchSpan =
  (source: Source, batch: ReadonlyArray<Delivery>) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.flatMap(TracingEnabled, (enabled): Effect.Effect<A, E, R> => {
      if (!enabled) return work
      const published = batch.flatMap((delivery) =>
        Option.toArray(Option.map(publisherSpan(delivery), (span) => ({ delivery, span })))
      )
      return Effect.scoped(
        Effect.andThen(
          Effect.forEach(
            published,
            ({ delivery, span }) =>
              Effect.makeSpanScoped(`process ${source.queue}`, {
                parent: span,
                kind: "consumer",
                attributes: { ...attributes(source, 1), "messaging.message.id": delivery.id ?? "" }
              }),
            { discard: true }
          ),
          work.pipe(
            Effect.withSpan(`process ${source.queue}`, {
              kind: "consumer",
              attributes: attributes(source, batch.length),
              links: published.map(({ span }) => ({ span, attributes: {} }))
            })
          )
        )
      ) as Effect.Effect<A, E, R>
    })

/** What hands the span that we are in on to whoever reads a message; nothing where nobody is traced. */
export const traceHeaders: Effect.Effect<{ readonly traceparent?: string }> = Effect.flatMap(
  TracingEnabled,
  (enabled) =>
    enabled
      ? Effect.match(Effect.currentSpan, {
          onFailure: () => ({}),
          onSuccess: (span) => ({ traceparent: HttpTraceContext.toHeaders(span).traceparent ?? "" })
        })
      : Effect.succeed({})
)
