/** Elements in batches, without making a lone one wait. */
import { Array as Arr, Duration, Stream } from "effect"

export interface BatchOptions {
  readonly size: number
  /** How long to wait for a batch to fill; with zero, what has arrived by the time that a batch can be taken is one. */
  readonly window: Duration.Duration
}

/**
 * Batches of at most `size`. Without a window they grow by themselves: while the batches before are worked on, the next
 * gathers; when nothing is being worked on, a single element leaves at once.
 */
export const inBatches =
  ({ size, window }: BatchOptions) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<Arr.NonEmptyReadonlyArray<A>, E, R> =>
    Duration.isZero(window)
      ? Stream.chunks(self).pipe(Stream.map(Arr.chunksOf(size)), Stream.flattenIterable)
      : Stream.groupedWithin(self, size, window).pipe(Stream.filter(Arr.isArrayNonEmpty))
