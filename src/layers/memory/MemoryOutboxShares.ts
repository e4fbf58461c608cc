/** Who relays which slots, in memory. */
import { Clock, Duration, Effect } from "effect"
import { slotCount } from "../../domain/OutboxEvent.ts"
import type { Outbox } from "../../domain/ports/Outbox.ts"

type Shares = Pick<Outbox["Service"], "enrol" | "renew" | "acquire" | "release" | "leave">

/** The owners, and the part of the port that is about them. */
export const make = () => {
  const relays = new Map<string, number>()
  const owners = new Map<number, string>()
  let enrolled = 0
  const slots = Array.from({ length: slotCount }, (_, slot) => slot)
  const isFree = (slot: number): boolean => !relays.has(owners.get(slot) ?? "")

  const live = (relay: string, lease: Duration.Duration) =>
    Effect.map(Clock.currentTimeMillis, (now) => void relays.set(relay, now + Duration.toMillis(lease)))
  const strikeOff = (relay: string) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      for (const [other, expires] of relays) if (other !== relay && expires < now) relays.delete(other)
    })

  const port: Shares = {
    enrol: (lease) => {
      const relay = `relay-${++enrolled}`
      return Effect.as(live(relay, lease), relay)
    },
    renew: Effect.fnUntraced(function* (relay, lease) {
      if (!relays.has(relay)) return undefined
      yield* live(relay, lease)
      yield* strikeOff(relay)
      const owned = slots.filter((slot) => owners.get(slot) === relay)
      return { relays: relays.size, owned, free: slots.filter(isFree) }
    }),
    acquire: (relay, wanted) =>
      Effect.sync(() => {
        const got = wanted.filter(isFree)
        for (const slot of got) owners.set(slot, relay)
        return got
      }),
    release: (relay, given) =>
      Effect.sync(() => {
        for (const slot of given) if (owners.get(slot) === relay) owners.delete(slot)
      }),
    leave: (relay) => Effect.sync(() => void relays.delete(relay))
  }
  const ownedBy = (relay: string): ReadonlySet<number> => new Set(slots.filter((slot) => owners.get(slot) === relay))
  return { port, ownedBy }
}
