/**
 * The part of the slots that this relay owns. A lease that is not renewed in time is over: by this process's own clock
 * before it is for anybody else, so that what froze does not go on publishing when it wakes up.
 */
import { Clock, Duration, Effect, Schedule, Stream } from "effect"
import { slotCount } from "../domain/OutboxEvent.ts"
import * as OutboxShares from "../domain/OutboxShares.ts"
import { Outbox } from "../domain/ports/Outbox.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { supervised } from "./Supervisor.ts"

/** Renewed so many times within a lease: two that fail are no loss. */
const renewalsPerLease = 4

/** What of a lease is used: the rest is for clocks that differ, and for what is on its way to the broker. */
const usedShare = 0.75

/** This relay's slots, as it last heard of them. */
export const make = (lease: Duration.Duration, onGain: () => void) => {
  const state = makeState(onGain)
  const renew = renewal(state, lease)
  return {
    ...handle(state),
    /** Goes on for ever. */
    kept: Stream.fromEffectSchedule(
      renew,
      Schedule.spaced(Duration.millis(Duration.toMillis(lease) / renewalsPerLease))
    ).pipe(supervised("outbox share")),
    /** Lets others have the share at once. */
    leave: Effect.suspend(() => {
      const leaving = state.relay
      forget(state)
      return leaving === undefined ? Effect.void : Effect.ignore(Outbox.use((outbox) => outbox.leave(leaving)))
    })
  }
}

/** As it was last heard. */
interface State {
  readonly busy: Set<number>
  readonly onGain: () => void
  owned: ReadonlyArray<number>
  relay: string | undefined
  validUntilNanos: bigint
  /** Where the next look begins, so that all slots have their turn. */
  first: number
}

const makeState = (onGain: () => void): State => ({
  busy: new Set(),
  onGain,
  owned: [],
  relay: undefined,
  validUntilNanos: 0n,
  first: 0
})

const own = (state: State, slots: ReadonlyArray<number>): void => {
  const gained = slots.some((slot) => !state.owned.includes(slot))
  state.owned = slots
  if (gained) state.onGain()
}

const forget = (state: State): void => {
  state.relay = undefined
  state.owned = []
  state.validUntilNanos = 0n
}

/** Renews the lease, takes what is this relay's share, and gives up what is more. */
const renewal = (state: State, lease: Duration.Duration): Effect.Effect<void, StoreError, Outbox> => {
  const usableNanos = BigInt(Math.round(Duration.toMillis(lease) * usedShare * 1_000_000))
  const renew: Effect.Effect<void, StoreError, Outbox> = Effect.gen(function* () {
    const outbox = yield* Outbox
    const askedAtNanos = yield* Clock.currentTimeNanos
    const relay = state.relay ?? (yield* outbox.enrol(lease))
    state.relay = relay
    const roster = yield* outbox.renew(relay, lease)
    if (roster === undefined) {
      yield* Effect.logWarning("this relay was not heard of for longer than its lease, and begins anew")
      forget(state)
      return yield* renew
    }
    const isBusy = (slot: number) => state.busy.has(slot)
    const { acquire, release } = OutboxShares.change(roster, { slots: slotCount, isBusy })
    const kept = roster.owned.filter((slot) => !release.includes(slot))
    // From here on nothing of what is given up is begun: only then may another have it.
    own(state, kept)
    state.validUntilNanos = askedAtNanos + usableNanos
    if (release.length > 0) yield* outbox.release(relay, release)
    if (acquire.length > 0) own(state, [...kept, ...(yield* outbox.acquire(relay, acquire))])
  })
  return renew
}

const isValid = (state: State) => Effect.map(Clock.currentTimeNanos, (now) => now < state.validUntilNanos)

const handle = (state: State) => ({
  /** Slots with nothing under way, each time from another one on, and whose they are; none while the lease is over. */
  free: Effect.map(isValid(state), (valid) => {
    const { busy, owned, relay } = state
    if (!valid || relay === undefined) return undefined
    state.first = (state.first + 1) % Math.max(1, owned.length)
    const slots = [...owned.slice(state.first), ...owned.slice(0, state.first)].filter((slot) => !busy.has(slot))
    return slots.length === 0 ? undefined : { relay, slots }
  }),
  begin: (slots: Iterable<number>): void => {
    for (const slot of slots) state.busy.add(slot)
  },
  end: (slots: Iterable<number>): void => {
    for (const slot of slots) state.busy.delete(slot)
  },
  /** Nothing is under way: all that was has been stopped. */
  reset: (): void => state.busy.clear(),
  /** Whether what was taken as `taker` may still be published. */
  mayPublish: (taker: string) => Effect.map(isValid(state), (valid) => valid && state.relay === taker),
  owned: () => state.owned
})

export type Share = ReturnType<typeof make>
