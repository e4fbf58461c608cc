/**
 * A look at what waits in a queue. Rows are read, not claimed: a look leaves no trace, even if its process is killed.
 *
 * ## Assumptions
 * - Who consumes the queue, or removes from it too, may get a row that was looked at: then it is handled by both.
 */
import { Effect, Option, Stream } from "effect"
import type { BrokerError, Browsing, Delivery } from "../../domain/ports/Broker.ts"
import * as Envelope from "./Envelope.ts"
import { type JobQueue, schema } from "./JobQueue.ts"

/** Places in the queue that are read at a time; rows are read one by one, since nobody knows how large they are. */
const placesAtATime = 10_000

/** What a delivery that was looked at carries as its receipt. */
export class Seen {
  readonly queue: string
  readonly id: string
  constructor(queue: string, id: string) {
    this.queue = queue
    this.id = id
  }
}

interface Place {
  readonly id: string
  readonly createdOn: string
}

const beginning: Place = { id: "00000000-0000-0000-0000-000000000000", createdOn: "-infinity" }

const waiting = "name = $1 AND state < 'active' AND NOT blocked AND start_after <= now()"

// In the order in which the library gives them out, by the index that it has for that.
const placesAfter = `
  SELECT id, created_on::text AS "createdOn" FROM ${schema}.job
  WHERE ${waiting} AND priority = 0 AND created_on >= $2 AND (created_on, id) > ($2, $3)
  ORDER BY created_on, id LIMIT ${placesAtATime}`

const row = `SELECT data, retry_count AS "retryCount" FROM ${schema}.job WHERE ${waiting} AND id = $2`

const removal = `DELETE FROM ${schema}.job WHERE name = $1 AND id = ANY($2::uuid[]) AND state < 'active'`

const run = (jobs: JobQueue, statement: string, parameters: ReadonlyArray<unknown>) =>
  Effect.map(
    jobs.use((boss) => boss.getDb().executeSql(statement, [...parameters])),
    ({ rows }) => rows
  )

const places = (jobs: JobQueue, queue: string) =>
  Stream.paginate(beginning, (after) =>
    Effect.map(run(jobs, placesAfter, [queue, after.createdOn, after.id]), (found: ReadonlyArray<Place>) => {
      const last = found.length < placesAtATime ? undefined : found.at(-1)
      return [found, Option.fromUndefinedOr(last)] as const
    })
  )

/** The row of a place, unless somebody has it by now. */
const look = (jobs: JobQueue, queue: string, { id }: Place): Effect.Effect<ReadonlyArray<Delivery>, BrokerError> =>
  Effect.map(run(jobs, row, [queue, id]), (rows) =>
    rows.map(({ data, retryCount }) => ({
      ...Envelope.open(data),
      attempt: Number(retryCount) + 1,
      receipt: new Seen(queue, id)
    }))
  )

/** Looks at what waits now: `waiting` is how much that is. */
export const browse = (jobs: JobQueue, queue: string, waiting: number): Browsing => ({
  waiting,
  messages: places(jobs, queue).pipe(
    Stream.take(waiting),
    Stream.mapEffect((place) => look(jobs, queue, place)),
    Stream.flattenIterable
  )
})

/** Removes what was looked at. */
export const remove = (jobs: JobQueue, seen: ReadonlyArray<Seen>): Effect.Effect<void, BrokerError> =>
  Effect.forEach(
    Map.groupBy(seen, ({ queue }) => queue),
    ([queue, own]) => run(jobs, removal, [queue, own.map(({ id }) => id)]),
    { discard: true }
  )
