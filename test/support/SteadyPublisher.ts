/** A publisher that goes on whatever happens to the broker: what is not confirmed is published again, with the same id. */
import { Effect, Fiber, type Scope } from "effect"
import type { Message } from "./Queues.ts"
import * as Stage from "./Stage.ts"
import { realSleep } from "./servers/eventually.ts"

export interface SteadyPublisher {
  /** The ids that the broker has confirmed so far. */
  readonly valid: ReadonlySet<string>
  readonly invalid: ReadonlySet<string>
  /** Ends it when what it has begun is confirmed. */
  readonly stop: Effect.Effect<void>
}

/** Messages at a time, of which the first is invalid. */
const chunkSize = 1000

/** So many wait at least: however fast the worker is, it has something in hand when it is killed. */
const enoughWaiting = 3000

const chunk = (number: number): ReadonlyArray<Message & { readonly id: string }> =>
  Array.from({ length: chunkSize }, (_, index) =>
    index === 0
      ? { id: `invalid-${number}`, body: `{"n": ${number}` }
      : { id: `valid-${number}-${index}`, body: JSON.stringify({ n: number, index }) }
  )

/** Publishes to the stage's queue until stopped. */
export const start = (stage: Stage.Stage): Effect.Effect<SteadyPublisher, never, Scope.Scope> =>
  Effect.gen(function* () {
    const valid = new Set<string>()
    const invalid = new Set<string>()
    let stopped = false
    const publishChunk = Effect.fnUntraced(function* (number: number) {
      const messages = chunk(number)
      const attempt = Effect.sandbox(Stage.publish(stage, messages))
      yield* Effect.retry(
        Effect.tapError(attempt, () => realSleep("200 millis")),
        { times: 300 }
      ).pipe(Effect.orDie)
      for (const { id } of messages) (id.startsWith("invalid") ? invalid : valid).add(id)
    })
    const waiting = Effect.orElseSucceed(Effect.sandbox(Stage.depth(stage)), () => 0)
    const publishing = Effect.gen(function* () {
      for (let number = 0; !stopped; number++) {
        yield* publishChunk(number)
        while (!stopped && (yield* waiting) >= enoughWaiting) yield* realSleep("20 millis")
      }
    })
    const fiber = yield* Effect.forkScoped(publishing)
    return {
      valid,
      invalid,
      stop: Effect.suspend(() => {
        stopped = true
        return Fiber.join(fiber)
      })
    }
  })
