/** When a relay looks for events, where for those that wait, and for how many at a time. */
import { Clock, Duration, Effect, Latch } from "effect"
import { type PendingEvent, slotCount } from "../domain/OutboxEvent.ts"

/**
 * Bodies of one batch, in characters: what is read with one statement has to fit into memory several times over. The
 * sizes seen of late say how many events that is, so events that grow may exceed it once.
 */
const largestBatch = 16 * 1024 * 1024

/** An agenda on which everything is to be looked at; `poll` is how often it is without a hint. */
export const make = (poll: Duration.Duration) => {
  const changed = Latch.makeUnsafe(false)
  const all = Array.from({ length: slotCount }, (_, slot) => slot)
  /** Slots in which to look for what waits. */
  const unlooked = new Set(all)
  let nextPoll = 0
  let nextDue = Number.POSITIVE_INFINITY
  /** Times that there may have been something new, wherever. */
  let news = 0
  let averageLength = 1

  const wake = (): void => void changed.openUnsafe()
  const hint = (): void => {
    news++
    wake()
  }
  const lookEverywhere = (): void => {
    for (const slot of all) unlooked.add(slot)
    hint()
  }
  return {
    wake,
    hint,
    lookEverywhere,
    unlooked,
    isDueIn: (millis: number, now: number): void => {
      nextDue = Math.min(nextDue, now + millis)
    },
    /** Before each look: whatever changes from now on is looked at again. */
    begin: Effect.map(Clock.currentTimeMillis, (now) => {
      changed.closeUnsafe()
      if (now >= nextPoll || now >= nextDue) {
        nextDue = Number.POSITIVE_INFINITY
        nextPoll = now + Duration.toMillis(poll)
        for (const slot of all) unlooked.add(slot)
        news++
      }
      return news
    }),
    news: () => news,
    /** Learns how large events are. */
    measure: (events: ReadonlyArray<PendingEvent>): void => {
      if (events.length === 0) return
      averageLength = Math.max(1, events.reduce((sum, { payload }) => sum + payload.length, 0) / events.length)
    },
    largest: () => Math.max(1, Math.floor(largestBatch / averageLength)),
    /** Until there may be something to take: at once, where something has changed since the last look began. */
    rest: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.timeoutOption(changed.await, Math.max(1, Math.min(nextPoll, nextDue) - now))
    )
  }
}

export type Agenda = ReturnType<typeof make>
