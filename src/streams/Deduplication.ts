/**
 * Inputs that a group has finished are skipped when they come again.
 *
 * Look-ups of all workers of the process leave in batches: while one is under way the next gathers, so a statement
 * serves as many messages as the load brings. What was finished together is remembered together. While the database is
 * away the messages in hand wait; none is taken to be new because nobody could be asked.
 */
import { Cause, Context, Deferred, Effect, Exit, Layer, Random, Schema } from "effect"
import { type FinishedInput, FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { type InputIdentity, identityOf } from "../domain/WorkerIds.ts"
import { type Ending, type Handled, handled, type InHand } from "./InHand.ts"
import { Shutdown } from "./Shutdown.ts"
import type { Any } from "./Worker.ts"
import { queueOf } from "./WorkerChecks.ts"

/** A worker asks for something that this process cannot give. */
export class DedupeUnavailable extends Schema.TaggedError<DedupeUnavailable>()("DedupeUnavailable", {
  worker: Schema.String
}) {
  readonly isRetryable = false
  override get message(): string {
    return `worker ${this.worker} has dedupe: true, and nothing is there to keep what that needs: provide Stores.fromSettings() (with DATABASE_URL, or DATABASE=embedded) beside the broker, or take dedupe out`
  }
}

interface DeduplicationShape {
  /** Succeeds when the tables are there; waits for a database that is away. */
  readonly ready: Effect.Effect<void, StoreError, Shutdown>
  /** Whether the input, or this parking of it, is finished; `undefined` if the process stops before that is known. */
  readonly isFinished: (
    consumer: string,
    identity: InputIdentity
  ) => Effect.Effect<boolean | undefined, StoreError, Shutdown>
  /** Remembers them; false if the process stops before that is done. */
  readonly record: (inputs: ReadonlyArray<FinishedInput>) => Effect.Effect<boolean, StoreError, Shutdown>
}

/** For one statement. */
const maxBatch = 500
/** One in the database's hands while the next gathers, and one more for a slow answer. */
const batchesInFlight = 2

/** Calls that share a statement: those that come while others are under way go together. */
const batching = <A, B, E>(run: (batch: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, E>) => {
  interface Waiting {
    readonly item: A
    readonly answer: Deferred.Deferred<B, E>
  }
  const gathering: Array<Waiting> = []
  let inFlight = 0

  const runOne = (batch: ReadonlyArray<Waiting>) =>
    Effect.flatMap(Effect.exit(run(batch.map(({ item }) => item))), (exit) =>
      Effect.forEach(
        batch,
        ({ answer }, place) =>
          Deferred.done(
            answer,
            Exit.map(exit, (answers) => answers[place] as B)
          ),
        { discard: true }
      )
    )
  /** Goes on until nobody waits; all that its fiber can fail of is what the callers get. */
  const flush = Effect.gen(function* () {
    // Those who come at the same moment go together.
    yield* Effect.yieldNow
    while (gathering.length > 0) yield* runOne(gathering.splice(0, maxBatch))
    inFlight--
  })

  return (item: A): Effect.Effect<B, E> =>
    Effect.suspend(() => {
      const answer = Deferred.makeUnsafe<B, E>()
      gathering.push({ item, answer })
      if (inFlight >= batchesInFlight) return Deferred.await(answer)
      inFlight++
      return Effect.andThen(Effect.forkDetach(Effect.uninterruptible(flush)), Deferred.await(answer))
    })
}

/** 0.2 s, 0.4 s … at most 5 s: a database that restarts costs little more than its restart. */
const backOff = RetryPolicy.exponential({ initialDelay: "200 millis", maxDelay: "5 seconds", jitter: 0.2 })

/** Tries until it succeeds, or the process stops: `undefined` then. */
const persistently = <A, R>(attempt: Effect.Effect<A, StoreError, R>) =>
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    for (let failures = 1; ; failures++) {
      const exit = yield* Effect.exit(attempt)
      if (exit._tag === "Success") return exit.value
      const error = Cause.squash(exit.cause) as StoreError
      if (!error.isRetryable) return yield* Effect.failCause(exit.cause)
      if (yield* shutdown.isRequested) return undefined
      const delay = RetryPolicy.jitteredDelay(backOff, failures, yield* Random.next)
      yield* Effect.timeoutOption(shutdown.requested, delay)
    }
  })

/** On any store. */
export const make = (finished: FinishedInputs["Service"]): DeduplicationShape => {
  const find = batching(finished.find)
  return {
    ready: Effect.asVoid(persistently(finished.prepare)),
    isFinished: (consumer, { input, parking }) => {
      const found = Effect.all([find({ consumer, identity: input }), find({ consumer, identity: parking })], {
        concurrency: "unbounded"
      })
      return persistently(Effect.map(found, ([whole, parked]) => whole || parked))
    },
    record: (inputs) =>
      inputs.length === 0
        ? Effect.succeed(true)
        : Effect.map(persistently(Effect.as(finished.record(inputs), true)), (done) => done ?? false)
  }
}

/** What the process has for workers with `dedupe`; nothing unless it is provided. */
export class Deduplication extends Context.Reference<DeduplicationShape | undefined>(
  "paystream/streams/Deduplication",
  { defaultValue: () => undefined }
) {
  static readonly layer = Layer.effect(Deduplication, Effect.map(FinishedInputs, make))
}

/** What is remembered of a message by how it ended: the whole input, this parking of it, or nothing. */
const rememberedOf: Record<Ending, keyof InputIdentity | undefined> = {
  done: "input",
  dead_lettered: "input",
  retried: "parking",
  snoozed: "parking",
  skipped: undefined,
  returned: undefined
}

/** Around the handling of each input: what the group has finished is skipped, and what it finishes is remembered. */
export const deduplicating = Effect.fnUntraced(function* (worker: Any) {
  const deduplication = yield* Deduplication
  if (deduplication === undefined) return yield* new DedupeUnavailable({ worker: worker.name })
  yield* deduplication.ready
  const consumer = queueOf(worker)
  let hasTold = false
  const tellOnce = Effect.suspend(() => {
    if (hasTold) return Effect.void
    hasTold = true
    return Effect.logWarning(`worker ${worker.name}: inputs without an id come, which dedupe cannot tell apart`)
  })
  const toRemember = ({ ending, inHand: { delivery, stem } }: Handled): ReadonlyArray<FinishedInput> => {
    const remembered = rememberedOf[ending]
    if (stem === undefined || remembered === undefined) return []
    return [{ consumer, identity: identityOf(stem, delivery)[remembered] }]
  }

  return {
    /** Handles an input unless it is finished: asked when no copy of it is in hand any more. */
    unlessFinished: <E, R>(inHand: InHand, handling: Effect.Effect<Handled, E, R>) => {
      if (inHand.stem === undefined) return Effect.andThen(tellOnce, handling)
      const identity = identityOf(inHand.stem, inHand.delivery)
      return Effect.flatMap(
        deduplication.isFinished(consumer, identity),
        (isFinished): Effect.Effect<Handled, E, R> =>
          isFinished === false ? handling : Effect.succeed(handled(inHand, isFinished ? "skipped" : "returned"))
      )
    },
    /** Remembers what is finished; what could not be remembered goes back. */
    remember: (all: ReadonlyArray<Handled>) =>
      Effect.map(deduplication.record(all.flatMap(toRemember)), (done) =>
        done ? all : all.map((one) => (toRemember(one).length === 0 ? one : handled(one.inHand, "returned")))
      )
  }
})
