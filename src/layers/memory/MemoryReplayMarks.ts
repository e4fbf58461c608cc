/** Replay marks in memory, for tests of what is built on the port. */
import { Effect, Layer } from "effect"
import { type RecordPlace, ReplayMarks } from "../../domain/ports/ReplayMarks.ts"

const keyOf = ({ offset, partition, topic, writtenAtMillis }: RecordPlace): string =>
  JSON.stringify([topic, partition, String(offset), writtenAtMillis])

/** None at first; of its own for each use of the layer. */
export const layer: Layer.Layer<ReplayMarks> = Layer.sync(ReplayMarks, () => {
  const marked = new Map<string, RecordPlace>()
  const keysBelow = ({ partition, topic }: Pick<RecordPlace, "topic" | "partition">, below: bigint) =>
    [...marked]
      .filter(([, mark]) => mark.topic === topic && mark.partition === partition && mark.offset < below)
      .map(([key]) => key)
  return {
    mark: (marks) =>
      Effect.sync(() => {
        for (const mark of marks) if (!marked.has(keyOf(mark))) marked.set(keyOf(mark), mark)
      }),
    find: (places) => Effect.sync(() => places.map((place) => marked.has(keyOf(place)))),
    count: (partition, below) => Effect.sync(() => keysBelow(partition, below).length),
    forget: (partition, below) =>
      Effect.sync(() => {
        const gone = keysBelow(partition, below)
        for (const key of gone) marked.delete(key)
        return gone.length
      })
  }
})
