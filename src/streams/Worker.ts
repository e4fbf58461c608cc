/**
 * A topic worker as its author declares it: what it consumes, what it gives, and what to do when it cannot.
 *
 * A handler succeeds with a value, which goes to `outputTopic`; with `undefined` or `null`, and nothing is published; or
 * it fails and is tried again by `retry`. `snooze` asks to be tried again later without using up an attempt, `reject` to
 * be dead-lettered at once. A defect counts as a failure; it never stops the worker or its neighbours.
 */
import { Clock, Data, Duration, Effect, Predicate, type Schema } from "effect"
import { Broker, type BrokerError, type Ordered } from "../domain/ports/Broker.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { snoozeDelay } from "../domain/SnoozeDelay.ts"
import { CurrentMessage } from "./CurrentMessage.ts"
import { headersOf } from "./OutputHeaders.ts"
import { currentTrace } from "./Tracing.ts"

/** A JSON object whose fields are not known: what a worker without an input schema gets. */
export type JsonObject = Readonly<Record<string, unknown>>

type Codec<A> = Schema.Codec<A, unknown>

export interface WorkerOptions<In, Out> {
  /** The topic to consume; on RabbitMQ, wildcards too. */
  readonly topic: string
  readonly outputTopic?: string | undefined
  /** Workers of one group share the messages; each group gets them all. The worker's name by default. */
  readonly groupId?: string | undefined
  /** Handlers at the same time; 1 by default. */
  readonly concurrency?: number | undefined
  /** Three retries after 1, 2 and 4 seconds by default. */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  readonly input?: Codec<In> | undefined
  /**
   * Of the input's schema: a message whose header `version` names another is a dead letter; one without the header is
   * taken for this one. Any version by default.
   */
  readonly version?: string | undefined
  readonly output?: Codec<Out> | undefined
  /** Of the output's schema: the header `version` of outputs; none by default. */
  readonly outputVersion?: string | undefined
  /** `<topic>.dlq` by default. */
  readonly dlqTopic?: string | undefined
  /** Skips an input id that the group has finished, for as long as that is kept; needs a database. False by default. */
  readonly dedupe?: boolean | undefined
  /**
   * Messages of one key are handled in order through retries and across processes: the key waits with a message that
   * waits, and only that key. Needs PostgreSQL. False by default.
   */
  readonly ordered?: boolean | undefined
  /** The longest that a hook may take; 10 seconds by default. It is given up then, which is logged. */
  readonly hookTimeout?: Duration.Input | undefined
  /** How many processes can share an ordered group on RabbitMQ; 8 by default, and the same for as long as it lives. */
  readonly partitions?: number | undefined
}

export interface Handlers<In, Out, E, R> {
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that gives nothing is an Effect of void
  readonly process: (input: In) => Effect.Effect<Out | null | undefined | void, E, R>
  /** After the output is confirmed; at least once, for up to `hookTimeout`. */
  readonly onSuccess?: ((input: In, result: Out | null | undefined) => Effect.Effect<unknown, unknown, R>) | undefined
  /** After the last attempt; at least once, for up to `hookTimeout`. */
  readonly onError?: ((input: In, error: E | Reject | unknown) => Effect.Effect<unknown, unknown, R>) | undefined
  /** After an input was set aside that has killed its process so often, for up to `hookTimeout`; not again if that kills it too. */
  readonly onCrashed?: ((input: In, crashes: number) => Effect.Effect<unknown, unknown, R>) | undefined
}

/** More processes than one group usually has, and few enough that one process can have them all. */
const defaultPartitions = 8

/** Long enough for a call to a service; a stop that waits for it stays well within its own limit. */
const defaultHookTimeout = Duration.seconds(10)

const TypeId = "~paystream/streams/Worker"

/** A declared worker. `R` is what its handlers need where it is run. */
export interface Worker<in out In, in out Out, out R = never> {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly topic: string
  readonly outputTopic: string | undefined
  readonly groupId: string
  readonly concurrency: number
  readonly retry: RetryPolicy.RetryPolicy
  readonly input: Codec<In> | undefined
  readonly version: string | undefined
  readonly output: Codec<Out> | undefined
  readonly outputVersion: string | undefined
  readonly dlqTopic: string
  readonly dedupe: boolean
  /** Whether a key waits with its message. */
  readonly ordered: Ordered | undefined
  readonly hookTimeout: Duration.Duration
  /** Taken once, when the worker starts. */
  readonly handlers: Effect.Effect<Handlers<In, Out, unknown, R>, unknown, R>
}

/** Any worker, whatever it takes and gives. */
// biome-ignore lint/suspicious/noExplicitAny: a list of workers holds workers of every type
export type Any<R = any> = Worker<any, any, R>

/** What a worker's handlers need where it is run. */
export type Services<W> = W extends Worker<infer _In, infer _Out, infer R> ? R : never

/** Whether a value is a declared worker. */
export const isWorker = (value: unknown): value is Any => Predicate.hasProperty(value, TypeId)

/** Tried again after `delay`, as if nothing had been tried. */
export class Snooze extends Data.TaggedError("Snooze")<{ readonly delay: Duration.Duration }> {
  constructor({ delay }: { readonly delay: Duration.Input }) {
    super({ delay: snoozeDelay(delay) })
  }
}

/** Dead-lettered at once. */
export class Reject extends Data.TaggedError("Reject")<{ readonly reason: string }> {
  override get message(): string {
    return this.reason
  }
}

/**
 * Asks to be tried again later, without using up an attempt; after a tenth of a second at the earliest. What is no
 * finite duration is a defect, which does use one up.
 */
export const snooze = (delay: Duration.Input): Effect.Effect<never, Snooze> =>
  Effect.suspend(() => Effect.fail(new Snooze({ delay })))

/** Asks to be dead-lettered at once; `reason` is read by people. */
export const reject = (reason: string): Effect.Effect<never, Reject> => Effect.fail(new Reject({ reason }))

/** What a handler may succeed with. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that only does something gives void
type Output<Out> = Out | null | undefined | void

/**
 * Declares a worker. The last argument is its handler, or an Effect that takes services and shared state once and gives
 * the handlers. Only the options say what it takes and gives: a handler that gives something else does not compile.
 */
export const make = <
  In = JsonObject,
  Out = unknown,
  Handled extends Effect.Effect<Output<NoInfer<Out>>, unknown, unknown> = never,
  E = never,
  R = never,
  E2 = never,
  R2 = never
>(
  name: string,
  options: WorkerOptions<In, Out>,
  handler: ((input: In) => Handled) | Effect.Effect<Handlers<In, NoInfer<Out>, E, R>, E2, R2>
): Worker<In, Out, Effect.Services<Handled> | R | R2> => ({
  [TypeId]: TypeId,
  name,
  topic: options.topic,
  outputTopic: options.outputTopic,
  groupId: options.groupId ?? name,
  concurrency: options.concurrency ?? 1,
  retry: options.retry ?? RetryPolicy.exponential(),
  input: options.input,
  version: options.version,
  output: options.output,
  outputVersion: options.outputVersion,
  dlqTopic: options.dlqTopic ?? `${options.topic}.dlq`,
  dedupe: options.dedupe ?? false,
  ordered: options.ordered === true ? { partitions: options.partitions ?? defaultPartitions } : undefined,
  hookTimeout: Duration.fromInputUnsafe(options.hookTimeout ?? defaultHookTimeout),
  // the compiler does not see that what a handler needs is what its Effect needs
  handlers: Effect.isEffect(handler)
    ? handler
    : Effect.succeed({ process: handler as Handlers<In, Out, unknown, Effect.Services<Handled>>["process"] })
})

export { CurrentMessage } from "./CurrentMessage.ts"

const encoder = new TextEncoder()

/** What a message may have beside its value. */
export interface PublishOptions {
  readonly key?: string | undefined
  /** Follows from the input inside a handler unless told; none outside. */
  readonly id?: string | undefined
  /** Of the value's schema: the header `version`. */
  readonly version?: string | undefined
}

/** Publishes JSON text as it is, to the last digit; otherwise as `publish` does. */
export const publishText = Effect.fnUntraced(function* (
  topic: string,
  text: string,
  options: PublishOptions = {}
): Effect.fn.Return<void, BrokerError, Broker> {
  const broker = yield* Broker
  const id = options.id ?? (yield* CurrentMessage)?.nextId()
  const trace = yield* currentTrace
  yield* broker.publishToTopics([
    {
      topic,
      id,
      body: encoder.encode(text),
      contentType: "application/json",
      publishedAtMillis: yield* Clock.currentTimeMillis,
      headers: headersOf(options.key, options.version, trace)
    }
  ])
})

/** Publishes a JSON value to any topic, inside a handler or outside, and returns when the broker has confirmed it. */
export const publish = (
  topic: string,
  value: unknown,
  options?: PublishOptions
): Effect.Effect<void, BrokerError, Broker> => Effect.suspend(() => publishText(topic, JSON.stringify(value), options))
