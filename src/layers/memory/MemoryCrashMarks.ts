/** Crash marks in memory, for tests of what is built on the port: kept as long as the layer lives. */
import { Clock, Duration, Effect, Layer } from "effect"
import { CrashMarks, type Suspect } from "../../domain/ports/CrashMarks.ts"

const keyOf = ({ consumer, identity }: Suspect): string => JSON.stringify([consumer, identity])

const make = () => {
  const marks = new Map<string, { readonly begun: number; readonly at: number }>()
  return CrashMarks.of({
    begun: (suspect) => Effect.sync(() => marks.get(keyOf(suspect))?.begun ?? 0),
    begin: (suspect) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const before = marks.get(keyOf(suspect))?.begun ?? 0
        marks.set(keyOf(suspect), { begun: before + 1, at: now })
        return before
      }),
    end: (suspect) => Effect.sync(() => void marks.delete(keyOf(suspect))),
    forget: (age, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const old = [...marks].filter(([, { at }]) => at < now - Duration.toMillis(age)).slice(0, limit)
        for (const [key] of old) marks.delete(key)
        return old.length
      }),
    prepare: Effect.void
  })
}

/** Empty, and of its own for each use of the layer. */
export const layer: Layer.Layer<CrashMarks> = Layer.sync(CrashMarks, make)
