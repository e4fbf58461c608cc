/** What a relay does with events: takes them, and writes down what became of them. Each is one statement for many. */
import { Duration, Effect } from "effect"
import type { SqlClient } from "effect/sql"
import { laneOf, type PendingEvent } from "../../domain/OutboxEvent.ts"
import { publishable } from "../../domain/OutboxOrder.ts"
import type { Outbox, Taken, TakeOptions } from "../../domain/ports/Outbox.ts"
import type { Floors } from "./OutboxFloors.ts"
import { bigints, integers, type Run, texts, uuids } from "./OutboxStatements.ts"

type Taking = Pick<Outbox["Service"], "take" | "takeWaiting" | "markPublished" | "markFailed">

interface EventRow {
  readonly id: string
  readonly sequence: bigint
  readonly slot: number
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly attempts: number
  readonly created_millis: number
  readonly age_millis: number
}

interface WaitingRow extends EventRow {
  readonly wait_millis: number
  readonly is_skipped: boolean
}

/** A key that was looked at; without an event of its own where nothing can be done for it. */
type LookedRow = { readonly lane: string } & (WaitingRow | { readonly id: null })

const toEvent = (row: EventRow): PendingEvent => ({
  id: row.id,
  slot: row.slot,
  topic: row.topic,
  key: row.key ?? undefined,
  payload: row.payload,
  headers: row.headers,
  attempts: row.attempts,
  createdAtMillis: row.created_millis,
  ageMillis: row.age_millis
})

/** So many keys that wait are looked at with one statement: should more wait, they take turns. */
const keysPerLook = 1000

const statementsOf = (sql: SqlClient.SqlClient) => {
  // `extract` would compute with decimals, and the clock be asked for each row: nearly half of what the statement takes.
  const columns = sql`event.id, event.sequence, event.slot::int AS slot, event.topic, event.key, event.payload::text AS payload,
    event.headers, event.attempts, date_part('epoch', event.created_at) * 1000 AS created_millis,
    ((SELECT date_part('epoch', clock_timestamp())) - date_part('epoch', event.created_at)) * 1000 AS age_millis`
  const isWaiting = sql`published_at IS NULL AND next_attempt_at IS NOT NULL`
  const lane = sql`coalesce(key, id::text)`
  // As `isPassedOver` says it.
  const isPassedOver = ({ rules }: TakeOptions) =>
    sql`attempts >= ${rules.maxAttempts} AND (skipped_at IS NOT NULL OR ${rules.dead === "skip"})`

  // Slot by slot from the front, so that it costs the same however many wait. Whether a key is held back is looked up
  // event by event, and not at all while nothing waits: a plan that hashes all that waits would depend on its number.
  const take = (options: TakeOptions, from: ReadonlyArray<bigint>) => sql<EventRow & { readonly is_held: boolean }>`
    SELECT ${columns}, CASE WHEN (SELECT EXISTS (SELECT FROM outbox_events WHERE ${isWaiting})) THEN coalesce((
        SELECT true FROM outbox_events
        WHERE ${isWaiting} AND ${lane} = event.key AND NOT (${isPassedOver(options)}) LIMIT 1
      ), false) ELSE false END AS is_held
    FROM unnest(${integers(options.slots)}, ${bigints(from)}) AS free(slot, floor)
    JOIN outbox_slots ON outbox_slots.slot = free.slot AND outbox_slots.relay = ${options.relay}::uuid
    CROSS JOIN LATERAL (
      SELECT * FROM outbox_events
      WHERE outbox_events.slot = free.slot AND sequence > free.floor
        AND published_at IS NULL AND next_attempt_at IS NULL
      ORDER BY sequence LIMIT ${options.limitPerSlot}
    ) AS event
    LIMIT ${options.limit}`

  // From key to key, whatever the number of events behind each; dead ones at the front are left alone.
  const takeWaiting = (options: TakeOptions, after: string) => sql<LookedRow>`
    WITH RECURSIVE lanes AS (
      (SELECT ${lane} AS lane FROM outbox_events WHERE ${isWaiting} AND ${lane} > ${after} ORDER BY 1 LIMIT 1)
      UNION ALL
      SELECT (SELECT ${lane} FROM outbox_events WHERE ${isWaiting} AND ${lane} > lanes.lane ORDER BY 1 LIMIT 1)
      FROM lanes WHERE lanes.lane IS NOT NULL
    ), looked AS MATERIALIZED (SELECT lane FROM lanes LIMIT ${keysPerLook})
    SELECT looked.lane, ${columns}, (event.skipped_at IS NOT NULL) AS is_skipped,
      (CASE WHEN event.attempts = 0 THEN 0
        ELSE greatest(0, extract(epoch FROM event.next_attempt_at - clock_timestamp()) * 1000) END)::float8 AS wait_millis
    FROM looked
    LEFT JOIN LATERAL (
      SELECT slot, attempts, next_attempt_at FROM outbox_events
      WHERE ${isWaiting} AND ${lane} = looked.lane AND NOT (${isPassedOver(options)})
      ORDER BY sequence LIMIT 1
    ) AS head ON head.attempts < ${options.rules.maxAttempts} AND head.slot = ANY(${integers(options.slots)})
      AND EXISTS (SELECT FROM outbox_slots WHERE outbox_slots.slot = head.slot AND relay = ${options.relay}::uuid)
    LEFT JOIN LATERAL (
      SELECT * FROM outbox_events
      WHERE head.slot IS NOT NULL AND ${isWaiting} AND ${lane} = looked.lane AND NOT (${isPassedOver(options)})
      ORDER BY sequence
      LIMIT CASE WHEN head.attempts = 0 OR head.next_attempt_at <= clock_timestamp() THEN ${options.limitPerSlot} ELSE 1 END
    ) AS event ON true
    WHERE looked.lane IS NOT NULL
    ORDER BY looked.lane, event.sequence`

  return { take, takeWaiting }
}

/** The part of the outbox that moves events. */
export const make = (sql: SqlClient.SqlClient, run: Run, floors: Floors): Taking => {
  const statements = statementsOf(sql)
  /** Where the next look at what waits begins; beyond the last key it begins again. */
  let lookedUpTo = ""

  const setAside = (ids: ReadonlyArray<string>) =>
    ids.length === 0
      ? Effect.void
      : run(sql`
          UPDATE outbox_events SET next_attempt_at = clock_timestamp()
          WHERE id = ANY(${uuids(ids)}) AND published_at IS NULL AND next_attempt_at IS NULL`)

  return {
    take: Effect.fnUntraced(function* (options) {
      const { from, note } = yield* floors.begin(options)
      const rows = yield* run(statements.take(options, from))
      note(rows)
      const held = rows.filter((row) => row.is_held)
      yield* setAside(held.map(({ id }) => id))
      const events = rows.filter((row) => !row.is_held).map(toEvent)
      return { events, isFull: held.length > 0 || isFull(rows, options) }
    }),
    takeWaiting: Effect.fnUntraced(function* (options) {
      const rows = yield* run(statements.takeWaiting(options, lookedUpTo))
      const lanes = new Set(rows.map((row) => row.lane)).size
      lookedUpTo = lanes < keysPerLook ? "" : (rows.at(-1)?.lane ?? "")
      const taken = waitingOf(rows.filter(isEvent), options)
      return { ...taken, isFull: taken.isFull || lookedUpTo !== "" }
    }),
    markPublished: (ids) =>
      Effect.asVoid(
        run(sql`
          UPDATE outbox_events SET published_at = clock_timestamp()
          WHERE id = ANY(${uuids(ids)}) AND published_at IS NULL`)
      ),
    markFailed: (relay, failures) =>
      Effect.asVoid(
        run(sql`
          UPDATE outbox_events AS event SET attempts = failure.before + 1, last_error = failure.reason,
            next_attempt_at = clock_timestamp() + failure.millis * interval '1 millisecond'
          FROM unnest(${uuids(failures.map(({ id }) => id))}, ${integers(failures.map((one) => one.attemptsBefore))},
            ${texts(failures.map(({ reason }) => reason))},
            ${integers(failures.map(({ delay }) => Math.round(Duration.toMillis(delay))))}
          ) AS failure(id, before, reason, millis)
          WHERE event.id = failure.id AND event.published_at IS NULL AND event.attempts = failure.before
            AND EXISTS (SELECT FROM outbox_slots WHERE outbox_slots.slot = event.slot AND relay = ${relay}::uuid)`)
      )
  }
}

const isEvent = (row: LookedRow): row is { readonly lane: string } & WaitingRow => row.id !== null

const isFull = (rows: ReadonlyArray<EventRow>, { limit, limitPerSlot }: TakeOptions): boolean => {
  if (rows.length >= limit) return true
  const counts = new Map<number, number>()
  for (const { slot } of rows) counts.set(slot, (counts.get(slot) ?? 0) + 1)
  return [...counts.values()].some((count) => count >= limitPerSlot)
}

const waitingOf = (rows: ReadonlyArray<WaitingRow>, { limit, rules }: TakeOptions): Taken => {
  const events: Array<PendingEvent> = []
  let due: number | undefined
  for (const own of Map.groupBy(rows, (row) => laneOf({ id: row.id, key: row.key ?? undefined })).values()) {
    const waiting = own.map((row) => ({ ...row, waitMillis: row.wait_millis, isSkipped: row.is_skipped }))
    const now = publishable(waiting, rules)
    events.push(...now.map(toEvent))
    const next = waiting.find((one) => one.waitMillis > 0 && one.attempts < rules.maxAttempts)
    if (next !== undefined && now.length < waiting.length) due = Math.min(due ?? next.waitMillis, next.waitMillis)
  }
  return { events: events.slice(0, limit), isFull: events.length > 0, dueInMillis: due }
}
