/**
 * Waiting messages in memory, for tests of what is built on the port; on the clock of whoever asks.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives.
 */
import { Clock, Duration, Effect, Layer } from "effect"
import type { MessageContent } from "../../domain/ports/Broker.ts"
import { leaseSeconds, type WaitingHead, WaitingMessages } from "../../domain/ports/WaitingMessages.ts"

interface Row {
  readonly id: string
  readonly group: string
  readonly key: string
  message: MessageContent
  dueAtMillis: number
  owner: string | undefined
  claimedUntilMillis: number
  claims: number
}

const claimed = (row: Row, owner: string, now: number): WaitingHead => {
  row.owner = owner
  row.claimedUntilMillis = now + leaseSeconds * 1000
  row.claims++
  return { id: row.id, key: row.key, message: row.message, attempt: row.claims }
}

const free = (row: Row): void => {
  row.owner = undefined
  row.claimedUntilMillis = -Infinity
  row.claims = 0
}

/** The first of each key. */
const headsOf = (rows: Iterable<Row>, group: string): ReadonlyArray<Row> => {
  const heads = new Map<string, Row>()
  for (const row of rows) if (row.group === group && !heads.has(row.key)) heads.set(row.key, row)
  return [...heads.values()]
}

const make = () => {
  const rows = new Map<string, Row>()
  let ids = 0
  const atNow = <A>(use: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, use)
  const add = (group: string, key: string, message: MessageContent, dueAtMillis: number): void => {
    const id = String(++ids)
    rows.set(id, { id, group, key, message, dueAtMillis, owner: undefined, claimedUntilMillis: -Infinity, claims: 0 })
  }
  const owned = (group: string, owner: string) =>
    [...rows.values()].filter((row) => row.group === group && row.owner === owner)
  const held = (owner: string, { id }: WaitingHead) => {
    const row = rows.get(id)
    return row?.owner === owner ? row : undefined
  }
  const keysOf = (group: string) => new Set(headsOf(rows.values(), group).map(({ key }) => key))

  return WaitingMessages.of({
    park: (group, { key, message }, delay) => atNow((now) => add(group, key, message, now + Duration.toMillis(delay))),
    keysWaiting: (group, keys) => Effect.sync(() => new Set(keys.filter((key) => keysOf(group).has(key)))),
    append: (group, messages) =>
      atNow((now) => {
        const waiting = keysOf(group)
        return messages.map(({ key, message }) => {
          if (waiting.has(key)) add(group, key, message, now)
          return waiting.has(key)
        })
      }),
    claim: (group, owner, limit) =>
      atNow((now) =>
        headsOf(rows.values(), group)
          .filter((row) => row.dueAtMillis <= now && row.claimedUntilMillis < now)
          .sort((one, other) => one.dueAtMillis - other.dueAtMillis)
          .slice(0, limit)
          .map((row) => claimed(row, owner, now))
      ),
    complete: (owner, head) =>
      atNow((now) => {
        const row = held(owner, head)
        if (row === undefined) return undefined
        rows.delete(row.id)
        const next = headsOf(rows.values(), row.group).find(({ key }) => key === row.key)
        return next && claimed(next, owner, now)
      }),
    postpone: (owner, head, message, delay) =>
      atNow((now) => {
        const row = held(owner, head)
        if (row === undefined) return
        row.message = message
        row.dueAtMillis = now + Duration.toMillis(delay)
        free(row)
      }),
    renew: (group, owner) =>
      atNow((now) => {
        for (const row of owned(group, owner)) row.claimedUntilMillis = now + leaseSeconds * 1000
        return owned(group, owner).length
      }),
    release: (group, owner) => Effect.sync(() => owned(group, owner).forEach(free)),
    count: (group) => Effect.sync(() => [...rows.values()].filter((row) => row.group === group).length),
    prepare: Effect.void
  })
}

/** An empty store of its own for each use of the layer. */
export const layer: Layer.Layer<WaitingMessages> = Layer.sync(WaitingMessages, make)
