/**
 * SIGTERM and SIGINT ask for a graceful stop; a second one ends the process at once. A terminal and a script runner
 * deliver the same Ctrl-C twice: within a second it counts once.
 */
import { Effect, Layer } from "effect"
import { Shutdown } from "../../streams/Shutdown.ts"

const signals = ["SIGINT", "SIGTERM"] as const
const doubledWithinMillis = 1000
const exitCodeOfSecondSignal = 130

export const layer: Layer.Layer<never, never, Shutdown> = Layer.effectDiscard(
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const run = Effect.runForkWith(yield* Effect.context())
    let firstAt: number | undefined

    const onSignal = () => {
      if (firstAt === undefined) {
        firstAt = performance.now()
        run(shutdown.request)
      } else if (performance.now() - firstAt > doubledWithinMillis) {
        process.exit(exitCodeOfSecondSignal)
      }
    }

    yield* Effect.acquireRelease(
      Effect.sync(() => {
        for (const signal of signals) process.on(signal, onSignal)
      }),
      () =>
        Effect.sync(() => {
          for (const signal of signals) process.off(signal, onSignal)
        })
    )
  })
)
