/**
 * The outbox in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives: what is appended becomes visible when its transaction has succeeded,
 *   all at once, and in the place that it took when it was appended.
 * - Times are those of the clock. No chance: ids are numbers.
 */
import { type Cause, Clock, Duration, Effect, Layer, Queue, Stream } from "effect"
import { laneOf, type NewEvent, type PendingEvent, slotCount } from "../../domain/OutboxEvent.ts"
import { isDead, isPassedOver, type OrderRules, publishable } from "../../domain/OutboxOrder.ts"
import { type EventSummary, type Hint, Outbox, type TakeOptions } from "../../domain/ports/Outbox.ts"
import * as MemoryOutboxShares from "./MemoryOutboxShares.ts"
import * as MemoryTransactions from "./MemoryTransactions.ts"

interface Row {
  readonly id: string
  readonly slot: number
  readonly sequence: number
  readonly event: NewEvent
  readonly payload: string
  readonly createdAt: number
  publishedAt: number | undefined
  attempts: number
  lastError: string | undefined
  nextAttemptAt: number | undefined
  skippedAt: number | undefined
}

type Listener = Queue.Queue<Hint, Cause.Done>

/** Any spread does, as long as it is the same for the same lane. */
const slotOf = (lane: string): number => {
  let hash = 0
  for (let index = 0; index < lane.length; index++) hash = (hash * 31 + lane.charCodeAt(index)) | 0
  return Math.abs(hash) % slotCount
}

const idOf = (sequence: number): string => `00000000-0000-7000-8000-${String(sequence).padStart(12, "0")}`

const makeRow = (event: NewEvent, sequence: number, now: number): Row => {
  const id = idOf(sequence)
  return {
    id,
    slot: slotOf(laneOf({ id, key: event.key })),
    sequence,
    event,
    payload: JSON.stringify(event.payload),
    createdAt: now,
    publishedAt: undefined,
    attempts: 0,
    lastError: undefined,
    nextAttemptAt: undefined,
    skippedAt: undefined
  }
}

const laneOfRow = ({ event, id }: Row): string => laneOf({ id, key: event.key })

const waitingOf = (row: Row, now: number) => ({
  row,
  attempts: row.attempts,
  waitMillis: row.attempts === 0 ? 0 : Math.max(0, (row.nextAttemptAt ?? now) - now),
  isSkipped: row.skippedAt !== undefined
})

const toPending = (row: Row, now: number): PendingEvent => ({
  id: row.id,
  slot: row.slot,
  topic: row.event.topic,
  key: row.event.key,
  payload: row.payload,
  headers: row.event.headers ?? {},
  attempts: row.attempts,
  createdAtMillis: row.createdAt,
  ageMillis: now - row.createdAt
})

/** The events, those in an open transaction not included. */
const makeEvents = () => {
  let committed: Array<Row> = []
  let sequences = 0
  const listeners = new Set<Listener>()
  return {
    all: (): ReadonlyArray<Row> => committed,
    unpublished: (): ReadonlyArray<Row> => committed.filter((row) => row.publishedAt === undefined),
    find: (id: string) => committed.find((row) => row.id === id),
    nextSequence: () => ++sequences,
    commit: (rows: ReadonlyArray<Row>): void => {
      committed = [...committed, ...rows].sort((one, other) => one.sequence - other.sequence)
    },
    remove: (rows: ReadonlyArray<Row>): void => {
      committed = committed.filter((row) => !rows.includes(row))
    },
    hint: (hint: Hint): void => {
      for (const listener of listeners) Queue.offerUnsafe(listener, hint)
    },
    listeners
  }
}

type Events = ReturnType<typeof makeEvents>

// Appending

const appendAllTo = (events: Events) => (given: ReadonlyArray<NewEvent>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const rows = given.map((event) => makeRow(event, events.nextSequence(), now))
    yield* MemoryTransactions.onCommit("Outbox.append", () => {
      events.commit(rows)
      if (rows.length > 0) events.hint("new")
    })
    return rows.map(({ id }) => id)
  })

// Taking

const isWaiting = (row: Row): boolean => row.nextAttemptAt !== undefined

const takeNew = (events: Events, options: TakeOptions, owned: ReadonlySet<number>, now: number) => {
  const holding = new Set(
    events
      .unpublished()
      .filter((row) => isWaiting(row) && !isPassedOver(waitingOf(row, now), options.rules))
      .map(laneOfRow)
  )
  const found = options.slots
    .filter((slot) => owned.has(slot))
    .flatMap((slot) => {
      const own = events.unpublished().filter((row) => row.slot === slot && !isWaiting(row))
      return own.slice(0, options.limitPerSlot)
    })
    .slice(0, options.limit)
  const held = found.filter((row) => holding.has(laneOfRow(row)))
  for (const row of held) row.nextAttemptAt = now
  const free = found.filter((row) => !held.includes(row)).map((row) => toPending(row, now))
  return { events: free, isFull: found.length >= Math.min(options.limit, options.limitPerSlot) || held.length > 0 }
}

const takeWaiting = (events: Events, options: TakeOptions, owned: ReadonlySet<number>, now: number) => {
  const own = events
    .unpublished()
    .filter((row) => isWaiting(row) && owned.has(row.slot) && options.slots.includes(row.slot))
  const lanes = [...Map.groupBy(own, laneOfRow).values()].map((rows) => rows.map((row) => waitingOf(row, now)))
  const found = lanes.flatMap((lane) => publishable(lane, options.rules).slice(0, options.limitPerSlot))
  const waits = lanes
    .flat()
    .filter(({ attempts, waitMillis }) => waitMillis > 0 && attempts < options.rules.maxAttempts)
    .map(({ waitMillis }) => waitMillis)
  return {
    events: found.slice(0, options.limit).map(({ row }) => toPending(row, now)),
    isFull: found.length > 0,
    dueInMillis: waits.length === 0 ? undefined : Math.min(...waits)
  }
}

// Looking

const summaryOf = (row: Row, rules: OrderRules): EventSummary => ({
  id: row.id,
  topic: row.event.topic,
  key: row.event.key,
  createdAt: new Date(row.createdAt),
  attempts: row.attempts,
  lastError: row.lastError,
  nextAttemptAt: row.nextAttemptAt === undefined ? undefined : new Date(row.nextAttemptAt),
  state: stateOf(row, rules)
})

const stateOf = (row: Row, rules: OrderRules): EventSummary["state"] => {
  if (!isWaiting(row)) return "pending"
  if (row.attempts === 0) return "held"
  if (!isDead(row, rules)) return "failing"
  return row.skippedAt === undefined ? "dead" : "skipped"
}

const statsOf = (events: Events, rules: OrderRules, now: number) => {
  const rows = events.unpublished()
  const count = (state: EventSummary["state"]) => rows.filter((row) => stateOf(row, rules) === state).length
  const alive = rows.filter((row) => !isDead(row, rules)).map((row) => now - row.createdAt)
  return {
    pending: count("pending"),
    failing: count("failing"),
    held: count("held"),
    dead: count("dead"),
    skipped: count("skipped"),
    oldestPendingMillis: Math.max(0, ...alive),
    openTransactions: []
  }
}

const atNow = <A>(use: (now: number) => A) => Effect.map(Clock.currentTimeMillis, use)

const upkeepOf = (events: Events): Pick<Outbox["Service"], "removePublished" | "glance" | "stats"> => ({
  removePublished: (age, limit) =>
    atNow((now) => {
      const isOld = ({ publishedAt }: Row) => publishedAt !== undefined && publishedAt < now - Duration.toMillis(age)
      const old = events.all().filter(isOld).slice(0, limit)
      events.remove(old)
      return old.length
    }),
  glance: (rules) => atNow((now) => statsOf(events, rules, now)),
  stats: (rules) => atNow((now) => statsOf(events, rules, now))
})

const operationsOf = (events: Events): Pick<Outbox["Service"], "list" | "retry" | "skip"> => {
  const changed = (rows: ReadonlyArray<Row>) => {
    if (rows.length > 0) events.hint("waiting")
    return rows.map(({ id }) => id)
  }

  return {
    list: (rules, { limit, onlyDead }) =>
      Effect.sync(() => {
        const rows = events.unpublished().filter((row) => !onlyDead || isDead(row, rules))
        return rows.slice(0, limit).map((row) => summaryOf(row, rules))
      }),
    retry: (ids) =>
      atNow((now) => {
        const rows = events.unpublished().filter((row) => row.attempts > 0 && (ids === "all" || ids.includes(row.id)))
        for (const row of rows) Object.assign(row, { attempts: 0, skippedAt: undefined, nextAttemptAt: now })
        return changed(rows)
      }),
    skip: (ids, rules) =>
      atNow((now) => {
        const rows = events.unpublished().filter((row) => ids.includes(row.id) && isDead(row, rules))
        for (const row of rows) row.skippedAt = now
        return changed(rows)
      })
  }
}

const make = Effect.sync(() => {
  const events = makeEvents()
  const shares = MemoryOutboxShares.make()
  const appendAll = appendAllTo(events)
  return Outbox.of({
    address: "memory",
    transaction: MemoryTransactions.inTransaction,
    appendAll,
    append: (event) => Effect.map(appendAll([event]), ([id]) => id ?? ""),
    hints: Stream.callback<Hint>((listener) =>
      Effect.acquireRelease(
        Effect.sync(() => events.listeners.add(listener)),
        () => Effect.sync(() => events.listeners.delete(listener))
      )
    ),
    take: (options) => atNow((now) => takeNew(events, options, shares.ownedBy(options.relay), now)),
    takeWaiting: (options) => atNow((now) => takeWaiting(events, options, shares.ownedBy(options.relay), now)),
    markPublished: (ids) =>
      atNow((now) => {
        for (const id of ids) {
          const row = events.find(id)
          if (row !== undefined) row.publishedAt ??= now
        }
      }),
    markFailed: (relay, failures) =>
      atNow((now) => {
        for (const { attemptsBefore, delay, id, reason } of failures) {
          const row = events.find(id)
          if (row === undefined || row.publishedAt !== undefined || row.attempts !== attemptsBefore) continue
          if (!shares.ownedBy(relay).has(row.slot)) continue
          Object.assign(row, {
            attempts: row.attempts + 1,
            lastError: reason,
            nextAttemptAt: now + Duration.toMillis(delay)
          })
        }
      }),
    ...shares.port,
    ...upkeepOf(events),
    ...operationsOf(events)
  })
})

/** An empty outbox of its own for each use of the layer. */
export const layer: Layer.Layer<Outbox> = Layer.effect(Outbox, make)
