/** Processors of payments in memory as processes that can be killed and frozen, at a provider that is slow and unsure. */
import { Duration, Effect, Fiber, Latch, Layer, Logger, Random, Stream } from "effect"
import { Broker, BrokerAway, BrokerError } from "../../src/domain/ports/Broker.ts"
import { CrashMarks } from "../../src/domain/ports/CrashMarks.ts"
import { IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { GatewayAway, GatewayError, GatewayUnanswered, PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { Reservations } from "../../src/domain/ports/Reservations.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import { GatewayAccess } from "../../src/streams/GatewayAccess.ts"
import { paymentCommands } from "../../src/streams/PaymentCommands.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import { paymentSweep } from "../../src/streams/PaymentSweep.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { Suspects } from "../../src/streams/Suspects.ts"
import { topicWorker } from "../../src/streams/TopicWorker.ts"

export const options = {
  lease: Duration.seconds(30),
  isCompensating: true,
  concurrency: 4,
  retry: RetryPolicy.exponential({ initialDelay: "1 second", maxRetries: 3 }),
  every: Duration.seconds(5),
  overdueAfter: Duration.seconds(15),
  giveUpAfter: Duration.minutes(2),
  stuckAfter: Duration.minutes(1)
}

const gone = new StoreError({ reason: new StoreAway({ detail: "the process is dead", code: "test" }) })
const away = new GatewayError({ reason: new GatewayAway({ detail: "away", retryAfterMillis: undefined }) })
const later = new GatewayError({ reason: new GatewayAway({ detail: "away", retryAfterMillis: 3000 }) })
const lost = new GatewayError({ reason: new GatewayUnanswered({ detail: "lost" }) })

/** A provider's mood: whether its answers come, and when. */
export interface Mood {
  isWell: boolean
}

/**
 * Slow, and now and then away, or without an answer before or after the effect. What was sent arrives, whatever becomes
 * of who has sent it.
 */
const moody = <A>(mood: Mood, request: Effect.Effect<A, GatewayError>) =>
  Effect.gen(function* () {
    if (mood.isWell) return yield* request
    const chance = yield* Random.next
    if (chance < 0.05) return yield* later
    if (chance < 0.15) return yield* away
    if (chance < 0.2) return yield* lost
    // Longer than a lease, sometimes.
    const delayMillis = (yield* Random.next) < 0.3 ? yield* Random.nextIntBetween(0, 60_000) : 100
    const sent = yield* Effect.forkDetach(Effect.andThen(Effect.sleep(delayMillis), request))
    if (chance < 0.3) return yield* Effect.andThen(Effect.sleep(50), lost)
    const answer = yield* Fiber.join(sent)
    return chance < 0.4 ? yield* lost : answer
  })

/** A processor as a process of its own: the worker on commands, and the sweep. */
export const startProcessor = Effect.fnUntraced(function* (mood: Mood) {
  const thawed = yield* Latch.make(true)
  let isDead = false
  // What freezes or dies does so before a call has its effect, or after: both happen.
  const inProcess = <A, E, F, R>(call: Effect.Effect<A, E, R>, dead: F): Effect.Effect<A, E | F, R> => {
    const alive = Effect.andThen(
      thawed.await,
      Effect.suspend(() => (isDead ? Effect.fail(dead) : Effect.void))
    )
    return Effect.yieldNow.pipe(Effect.andThen(alive), Effect.andThen(call), Effect.tap(alive))
  }
  const store = <A, R>(call: Effect.Effect<A, StoreError, R>) => inProcess(call, gone)
  const gateway = <A>(call: Effect.Effect<A, GatewayError>) => inProcess(moody(mood, call), lost)

  const [marks, intents, orders, keys, outbox, provider, broker] = yield* Effect.all([
    CrashMarks,
    PaymentIntents,
    Reservations,
    IdempotencyKeys,
    Outbox,
    PaymentGateway,
    Broker
  ])
  const own = Layer.mergeAll(
    Layer.succeed(PaymentIntents, {
      ...intents,
      find: (id) => store(intents.find(id)),
      history: (id) => store(intents.history(id)),
      claim: (id, lease) => store(intents.claim(id, lease)),
      renew: (held, lease) => store(intents.renew(held, lease)),
      release: (held) => store(intents.release(held)),
      overdue: (...given) => store(intents.overdue(...given)),
      unsettled: (...given) => store(intents.unsettled(...given)),
      list: (statuses, limit) => store(intents.list(statuses, limit))
    }),
    Layer.succeed(Reservations, {
      ...orders,
      reserve: (reservation) => store(orders.reserve(reservation)),
      confirm: (reservation) => store(orders.confirm(reservation)),
      unconfirm: (reservation) => store(orders.unconfirm(reservation)),
      release: (reservation) => store(orders.release(reservation))
    }),
    Layer.succeed(IdempotencyKeys, {
      ...keys,
      claim: (request) => store(keys.claim(request)),
      complete: (held, answer) => store(keys.complete(held, answer)),
      release: (held) => store(keys.release(held))
    }),
    Layer.succeed(PaymentGateway, {
      ...provider,
      prepare: (charge) => gateway(provider.prepare(charge)),
      confirm: (charge) => gateway(provider.confirm(charge)),
      retrieve: (reference) => gateway(provider.retrieve(reference)),
      cancel: (reference) => gateway(provider.cancel(reference)),
      refund: (charge) => gateway(provider.refund(charge))
    }),
    Layer.succeed(Broker, {
      ...broker,
      publishToTopics: (messages) =>
        inProcess(broker.publishToTopics(messages), new BrokerError({ reason: new BrokerAway({ detail: "dead" }) }))
    }),
    Layer.provide(
      PaymentOutlet.outbox,
      Layer.succeed(Outbox, { ...outbox, transaction: (work) => inProcess(outbox.transaction(work), gone) })
    ),
    Layer.provide(
      Suspects.layer({ maxCrashes: 3, patience: Duration.minutes(1) }),
      Layer.succeed(CrashMarks, {
        ...marks,
        begun: (suspect) => store(marks.begun(suspect)),
        begin: (suspect) => store(marks.begin(suspect)),
        end: (suspect) => store(marks.end(suspect))
      })
    ),
    GatewayAccess.telling,
    Shutdown.layer,
    Supervisor.layer,
    Logger.layer([])
  )
  const run = Effect.all(
    [Stream.runDrain(topicWorker(paymentCommands(options))), Stream.runDrain(paymentSweep(options))],
    {
      concurrency: "unbounded",
      discard: true
    }
  )
  const fiber = yield* Effect.forkScoped(Effect.provide(run, own, { local: true }))
  return {
    /** From now on nothing that it does has an effect. */
    kill: Effect.suspend(() => {
      isDead = true
      thawed.openUnsafe()
      return Fiber.interrupt(fiber)
    }),
    freeze: Effect.sync(() => void thawed.closeUnsafe()),
    thaw: Effect.sync(() => void thawed.openUnsafe())
  }
})
