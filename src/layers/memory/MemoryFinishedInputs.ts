/** Finished inputs in memory, for tests of what is built on the port: remembered as long as the layer lives. */
import { Clock, Duration, Effect, Layer } from "effect"
import { type FinishedInput, FinishedInputs } from "../../domain/ports/FinishedInputs.ts"

const keyOf = ({ consumer, identity }: FinishedInput): string => JSON.stringify([consumer, identity])

const make = () => {
  const finishedAt = new Map<string, number>()
  return FinishedInputs.of({
    find: (inputs) => Effect.sync(() => inputs.map((input) => finishedAt.has(keyOf(input)))),
    record: (inputs) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        for (const key of inputs.map(keyOf)) if (!finishedAt.has(key)) finishedAt.set(key, now)
      }),
    forget: (age, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const isOld = ([, at]: readonly [string, number]) => at < now - Duration.toMillis(age)
        const old = [...finishedAt].filter(isOld).slice(0, limit)
        for (const [key] of old) finishedAt.delete(key)
        return old.length
      }),
    prepare: Effect.void,
    ping: Effect.void
  })
}

/** Empty, and of its own for each use of the layer. */
export const layer: Layer.Layer<FinishedInputs> = Layer.sync(FinishedInputs, make)
