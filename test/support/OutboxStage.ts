/** Relays on an outbox and a broker in memory: processes that can be killed and frozen, and a record of what was published. */
import { Duration, Effect, Fiber, Latch, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { NewEvent } from "../../src/domain/OutboxEvent.ts"
import { Broker, BrokerAway, BrokerError, type TopicMessage, Unroutable } from "../../src/domain/ports/Broker.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as MemoryBroker from "../../src/layers/memory/MemoryBroker.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import { type OutboxRelayOptions, outboxRelay } from "../../src/streams/OutboxRelay.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"

export const options: OutboxRelayOptions = {
  rules: { maxAttempts: 3, dead: "hold" },
  retry: RetryPolicy.exponential({ initialDelay: "1 second", maxDelay: "1 minute" }),
  lease: Duration.seconds(5),
  poll: Duration.seconds(5),
  batchSize: 10,
  batchesInFlight: 2,
  retention: Duration.days(7),
  openTransactionWarning: Duration.seconds(10)
}

/** What a broker does with a call: takes all, is away before or after having taken it. */
export type Mood = "well" | "away" | "lost"

/** A broker that keeps a record, refuses messages that a test names, and is away when a test says so. */
export const makeBroker = Effect.fnUntraced(function* ({ takesTogether = false } = {}) {
  const broker = Broker.of({ ...(yield* Broker), takesTogether })
  const published: Array<{ readonly id: string; readonly by: string; readonly message: TopicMessage }> = []
  /** How often a message is refused yet. */
  const refusals = new Map<string, number>()
  let mood: Mood = "well"
  const away = new BrokerError({ reason: new BrokerAway({ detail: "the test's broker is away" }) })

  const isRefused = ({ id = "" }: TopicMessage) => (refusals.get(id) ?? 0) > 0

  const publishAs = (by: string) => (messages: ReadonlyArray<TopicMessage>) =>
    Effect.gen(function* () {
      if (mood === "away") return yield* away
      const refused = messages.find(isRefused)
      const withThem = new Set(messages.filter(isRefused).map(({ headers }) => headers.key))
      // As on a wire: the others of the batch are taken.
      for (const message of messages) {
        const isTaken = takesTogether ? !withThem.has(message.headers.key) : !isRefused(message)
        if (isTaken) published.push({ id: message.id ?? "", by, message })
      }
      if (mood === "lost") return yield* away
      if (refused === undefined) return yield* broker.publishToTopics(messages)
      if (messages.length === 1) refusals.set(refused.id ?? "", (refusals.get(refused.id ?? "") ?? 1) - 1)
      return yield* new BrokerError({ reason: new Unroutable({ detail: "the test's broker refuses it" }) })
    })
  return {
    broker,
    published,
    refusals,
    publishAs,
    become: (next: Mood): void => {
      mood = next
    }
  }
})

export type TestBroker = Effect.Success<ReturnType<typeof makeBroker>>

const gone = Effect.fail(new StoreError({ reason: new StoreAway({ detail: "the process is dead", code: "test" }) }))

/** A relay as a process of its own. */
export const startRelay = Effect.fnUntraced(function* (
  name: string,
  { broker, publishAs }: TestBroker,
  changes: Partial<OutboxRelayOptions> = {}
) {
  const outbox = yield* Outbox
  const thawed = yield* Latch.make(true)
  let isDead = false
  // What freezes does so before a call has its effect, or after: both happen.
  const inProcess = <A, E, F>(call: Effect.Effect<A, E>, failure: Effect.Effect<never, F>): Effect.Effect<A, E | F> =>
    Effect.yieldNow.pipe(
      Effect.andThen(thawed.await),
      Effect.andThen(Effect.suspend((): Effect.Effect<A, E | F> => (isDead ? failure : call))),
      Effect.tap(() =>
        Effect.andThen(
          thawed.await,
          Effect.suspend(() => (isDead ? failure : Effect.void))
        )
      )
    )
  const store = <A>(call: Effect.Effect<A, StoreError>) => inProcess(call, gone)
  const ownOutbox = Outbox.of({
    ...outbox,
    take: (given) => store(outbox.take(given)),
    takeWaiting: (given) => store(outbox.takeWaiting(given)),
    markPublished: (ids) => store(outbox.markPublished(ids)),
    markFailed: (relay, failures) => store(outbox.markFailed(relay, failures)),
    enrol: (lease) => store(outbox.enrol(lease)),
    renew: (relay, lease) => store(outbox.renew(relay, lease)),
    acquire: (relay, slots) => store(outbox.acquire(relay, slots)),
    release: (relay, slots) => store(outbox.release(relay, slots)),
    leave: (relay) => store(outbox.leave(relay))
  })
  const brokerGone = Effect.fail(new BrokerError({ reason: new BrokerAway({ detail: "the process is dead" }) }))
  const ownBroker = Broker.of({
    ...broker,
    publishToTopics: (messages) => inProcess(publishAs(name)(messages), brokerGone)
  })
  const reports: Array<{ readonly published: number; readonly failed: number; readonly dead: number }> = []
  const run = Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const relaying = Stream.runForEach(outboxRelay({ ...options, ...changes }), (report) =>
      Effect.sync(() => void reports.push(report))
    )
    return { shutdown, fiber: yield* Effect.forkScoped(relaying) }
  })
  const { fiber, shutdown } = yield* run.pipe(
    Effect.provide(
      Layer.mergeAll(
        Shutdown.layer,
        Supervisor.layer,
        Layer.succeed(Outbox, ownOutbox),
        Layer.succeed(Broker, ownBroker),
        Logger.layer([])
      ),
      { local: true }
    )
  )
  return {
    name,
    reports,
    fiber,
    /** From now on it does nothing at all. */
    kill: Effect.suspend(() => {
      isDead = true
      thawed.openUnsafe()
      return shutdown.request
    }),
    freeze: Effect.sync(() => void thawed.closeUnsafe()),
    thaw: Effect.sync(() => void thawed.openUnsafe()),
    stop: Effect.andThen(shutdown.request, Fiber.join(fiber))
  }
})

/** An empty outbox and an empty broker. */
export const ports = Layer.mergeAll(MemoryOutbox.layer, MemoryBroker.layer)

export const append = (...events: ReadonlyArray<NewEvent>) =>
  Outbox.use((outbox) => outbox.transaction(outbox.appendAll(events)))

/** Every fiber that can go on without the clock has gone on. */
const settled = Effect.forEach(Array.from({ length: 100 }), () => Effect.yieldNow, { discard: true })

/** Lets so much time go by, step by step, and all that follows from it: a lease is not over because a clock jumped. */
export const elapse = (duration: Duration.Input) =>
  Effect.gen(function* () {
    const stepMillis = 250
    for (let left = Duration.toMillis(duration); left > 0; left -= stepMillis) {
      yield* TestClock.adjust(Math.min(stepMillis, left))
      yield* settled
    }
  })
