/**
 * Workers tested as their author would: without a broker, in a time of their own that waits for nobody.
 *
 * ## Guarantees
 * - It is the real worker that runs, on the broker in memory: what is seen here is what every broker gets.
 * - A retry of an hour takes no time; whoever sleeps, handlers included, is woken when nothing else can go on.
 *
 * ## Assumptions
 * - Handlers reach nothing outside: time would go on while they wait for it. Give them services for tests.
 */
import { Array as Arr, Duration, Effect, Layer, Option, type Scope, Stream } from "effect"
import { DeadLetterHeader } from "../../domain/DeadLetter.ts"
import { Broker, type TopicMessage } from "../../domain/ports/Broker.ts"
import { deadLetterTopicsOf } from "../../domain/Subscriptions.ts"
import { Deduplication } from "../../streams/Deduplication.ts"
import type { Ending } from "../../streams/InHand.ts"
import { Shutdown } from "../../streams/Shutdown.ts"
import { Supervisor } from "../../streams/Supervisor.ts"
import { DeadLetterTopics, topicWorker } from "../../streams/TopicWorker.ts"
import { GaugeInterval } from "../../streams/WatchedGauge.ts"
import type { Any, Services, Worker } from "../../streams/Worker.ts"
import * as MemoryBroker from "./MemoryBroker.ts"
import * as MemoryFinishedInputs from "./MemoryFinishedInputs.ts"
import * as TestTime from "./TestTime.ts"
import { Traffic } from "./Traffic.ts"

/** A message as it was published to a topic. */
export interface Published {
  readonly topic: string
  readonly key: string | undefined
  readonly id: string | undefined
  /** The JSON value; the text where it is none. */
  readonly value: unknown
  /** The body as it went out, to the last digit. */
  readonly text: string
  readonly headers: Readonly<Record<string, unknown>>
}

/** What to publish a value with. */
export interface PublishOptions {
  readonly key?: string | undefined
  readonly id?: string | undefined
  readonly headers?: Readonly<Record<string, unknown>> | undefined
}

/** The topics of a flow of workers. */
export interface Topics {
  /** Publishes a JSON value; bytes go as they are. */
  readonly publish: (topic: string, value: unknown, options?: PublishOptions) => Effect.Effect<void>
  /** Waits until no message is on its way any more: all are handled, retries and whatever follows from them included. */
  readonly settle: Effect.Effect<void>
  /** All that was published to a topic so far, in order; dead letters too, where the topic is theirs. */
  readonly published: (topic: string) => Effect.Effect<ReadonlyArray<Published>>
}

/** One attempt of a worker, and the wait that it asked for if it is to be tried again. */
export interface Attempt {
  readonly ending: Ending
  readonly delay: Duration.Duration | undefined
}

/** What a worker has made of a message. */
export interface Tested {
  /** How the last attempt ended. */
  readonly ending: Ending
  readonly attempts: ReadonlyArray<Attempt>
  /** All that was published, in order: output, and what the handler sent to any topic. */
  readonly published: ReadonlyArray<Published>
  /** The message on the dead-letter topic, and why it is there. */
  readonly deadLetter: (Published & { readonly reason: string }) | undefined
}

/** How to test a worker. */
export interface TestOptions extends PublishOptions {
  /** Looks after so many attempts; goes on until the message has found its end unless told. */
  readonly attempts?: number | undefined
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const publishedOf = ({ body, headers, id, topic }: TopicMessage): Published => {
  const text = decoder.decode(body)
  const value = Option.getOrElse(Option.liftThrowable((): unknown => JSON.parse(text))(), () => text)
  return { topic, id, text, value, headers, key: typeof headers.key === "string" ? headers.key : undefined }
}

const publish: Effect.Effect<Topics["publish"], never, Broker> = Broker.useSync(
  (broker) =>
    (topic, value, { headers, id, key } = {}) =>
      Effect.orDie(
        broker.publishToTopics([
          {
            topic,
            id,
            body: value instanceof Uint8Array ? value : encoder.encode(JSON.stringify(value)),
            contentType: "application/json",
            publishedAtMillis: undefined,
            headers: key === undefined ? { ...headers } : { ...headers, key }
          }
        ])
      )
)

/** More moments than any flow takes that comes to an end. */
const mostMoments = 3000
/** What waits for something outside, or goes round in circles, gets so many chances: each a millisecond longer. */
const mostChances = 45
const chance = (millis: number) => Effect.callback<void>((resume) => void setTimeout(() => resume(Effect.void), millis))

/** Goes on until `isDone`: without time as far as that goes, then to the next moment that somebody waits for. */
const untilDone = Effect.fnUntraced(function* (time: TestTime.TestTime, isDone: Effect.Effect<boolean>) {
  let moments = 0
  let chances = 0
  while (moments < mostMoments && chances < mostChances) {
    yield* time.turn
    if (yield* isDone) return
    if (yield* time.advance) {
      moments++
      chances = 0
    } else {
      yield* chance(++chances)
    }
  }
  return yield* Effect.die(
    new Error("the workers do not settle: a message comes again and again, or a handler waits for something outside")
  )
})

/** What is there while a flow is tested; the caller's own are not asked for. */
type Provided = Broker | Traffic | Shutdown | Supervisor | Scope.Scope
const world = (workers: ReadonlyArray<Any>) =>
  Layer.mergeAll(
    MemoryBroker.layer,
    Shutdown.layer,
    Supervisor.layer,
    Layer.provide(Deduplication.layer, MemoryFinishedInputs.layer),
    Layer.succeed(DeadLetterTopics, deadLetterTopicsOf(workers)),
    // Who asks for ever has a moment to wait for: a flow would never come to rest.
    Layer.succeed(GaugeInterval, Duration.infinity)
  )

/** A hook that waits for something outside would be given up at once in a time that does not wait. */
const unhurried = <In, Out, R>(worker: Worker<In, Out, R>) => ({ ...worker, hookTimeout: Duration.infinity })

/** All workers, as long as nobody interrupts them. */
const runAll = <Workers extends ReadonlyArray<Any>>(
  workers: Workers,
  onEnding: (ending: Ending) => void
): Effect.Effect<void, never, Services<Workers[number]> | Broker | Shutdown | Supervisor> =>
  Effect.forEach(
    workers,
    (worker) => Stream.runForEach(topicWorker(unhurried(worker)), (ending) => Effect.sync(() => onEnding(ending))),
    { concurrency: "unbounded", discard: true }
  ).pipe(Effect.orDie)

/** Runs workers beside `program`, which begins when all are subscribed and interrupts them when it ends. */
const beside = <Workers extends ReadonlyArray<Any>, A, E, R>(
  workers: Workers,
  onEnding: (ending: Ending) => void,
  program: (time: TestTime.TestTime) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<Services<Workers[number]> | R, Provided>> =>
  Effect.gen(function* () {
    const time = yield* TestTime.make
    const supervisor = yield* Supervisor
    const areRunning = Effect.map(supervisor.states, (states) =>
      workers.every(({ name }) => states.get(`worker ${name}`) === "running")
    )
    const begun = Effect.andThen(Effect.repeat(time.turn, { until: () => areRunning }), time.turn)
    const all = Effect.andThen(runAll(workers, onEnding), Effect.never)
    return yield* time.within(Effect.raceFirst(all, Effect.andThen(begun, program(time))))
  }).pipe(Effect.provide(world(workers)), Effect.scoped) as Effect.Effect<
    A,
    E,
    Services<Workers[number]> | Exclude<R, Provided>
  >

/**
 * Runs workers on topics in memory beside `flow`, which publishes, lets them settle and looks; `Worker.publish` in it
 * goes to the same topics.
 */
export const testFlow = <const Workers extends ReadonlyArray<Any>, A, E, R>(
  workers: Workers,
  flow: (topics: Topics) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<Services<Workers[number]> | R, Provided>> =>
  beside(
    workers,
    () => undefined,
    (time) =>
      Effect.gen(function* () {
        const traffic = yield* Traffic
        const isSettled = Effect.map(traffic.outstanding, (count) => count === 0)
        return yield* flow({
          publish: yield* publish,
          settle: untilDone(time, isSettled),
          published: (topic) =>
            Effect.map(traffic.published, (all) => all.filter((message) => message.topic === topic).map(publishedOf))
        })
      })
  )

const tested = (
  { dlqTopic }: Any,
  endings: ReadonlyArray<Ending>,
  delays: ReadonlyArray<Duration.Duration>,
  all: ReadonlyArray<Published>
): Tested => {
  const isDeadLetter = ({ headers, topic }: Published) => topic === dlqTopic && DeadLetterHeader.reason in headers
  const [deadLetter] = all.filter(isDeadLetter)
  let parked = 0
  return {
    ending: endings.at(-1) ?? "returned",
    attempts: endings.map((ending) => ({
      ending,
      delay: ending === "retried" || ending === "snoozed" ? delays[parked++] : undefined
    })),
    published: all.filter((message) => !isDeadLetter(message)),
    deadLetter: deadLetter && { ...deadLetter, reason: String(deadLetter.headers[DeadLetterHeader.reason]) }
  }
}

/**
 * Gives a worker one message, and says what has become of it: `input` as it is received, a JSON value, or bytes that
 * need not be one.
 */
export const test = <W extends Any>(
  worker: W,
  input: unknown,
  { attempts: most = Number.POSITIVE_INFINITY, ...options }: TestOptions = {}
): Effect.Effect<Tested, never, Exclude<Services<W>, Provided>> => {
  const endings: Array<Ending> = []
  const program = Effect.fnUntraced(function* (time: TestTime.TestTime) {
    const traffic = yield* Traffic
    yield* (yield* publish)(worker.topic, input, options)
    const isDone = Effect.map(traffic.outstanding, (count) => count === 0 || endings.length >= most)
    yield* untilDone(time, isDone)
    const [, ...published] = Arr.map(yield* traffic.published, publishedOf)
    return tested(worker, endings, yield* traffic.delays, published)
  })
  return beside([worker], (ending) => endings.push(ending), program)
}
