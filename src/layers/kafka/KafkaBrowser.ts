/**
 * A look at a topic of dead letters: from the first record of each partition to the last one of now, no group involved.
 * Kafka removes no single record: one that is done is marked, and later looks leave it out.
 */
import { Effect, Option, type Scope, Stream } from "effect"
import type { BrokerError, Browsing, Delivery, Settlement } from "../../domain/ports/Broker.ts"
import type { RecordPlace, ReplayMarks } from "../../domain/ports/ReplayMarks.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { fromStore, refused, unroutable } from "./KafkaError.ts"
import { fromRecord } from "./KafkaMessage.ts"
import type { KafkaTopics } from "./KafkaTopics.ts"
import * as TopicReader from "./TopicReader.ts"

type Marks = ReplayMarks["Service"]

/** What a delivery that somebody looks at carries as its receipt. */
export interface BrowsedReceipt {
  readonly place: RecordPlace
}

/** Whether a delivery is one that somebody looks at, and not a group's. */
export const isBrowsed = ({ delivery: { receipt } }: Settlement): boolean =>
  typeof receipt === "object" && receipt !== null && "place" in receipt

interface Browsed extends Delivery {
  readonly receipt: BrowsedReceipt
}

/** How far the look at a partition has come. */
interface Cursor {
  readonly partition: number
  readonly end: number
  next: number
  /** What was read and not shown. */
  page: Array<Browsed>
}

/** Pages that are asked for at a time. */
const concurrency = 8

const nobody = { id: "unknown", by: "unknown" }

/** Looks by this client; `marks` only where there is a database. */
export const make = (client: KafkaClient, topics: KafkaTopics["Service"], marks: Marks | undefined) => {
  const unmarked = Effect.fnUntraced(function* (page: ReadonlyArray<Browsed>) {
    if (marks === undefined) return page
    const isMarked = yield* marks.find(page.map(({ receipt }) => receipt.place))
    return page.filter((_, index) => isMarked[index] !== true)
  }, Effect.mapError(fromStore))

  /** Reads on until there is something to show, or nothing more. */
  const fill = Effect.fnUntraced(function* (reader: TopicReader.TopicReader, topic: string, cursor: Cursor) {
    const { end, partition } = cursor
    while (cursor.page.length === 0 && cursor.next < end) {
      const { next, records } = yield* client.attempt(`read ${topic}`, () => reader.read(partition, cursor.next))
      cursor.next = next === cursor.next ? end : next
      const shown = records.filter(({ offset }) => Number(offset) < end)
      cursor.page = [...(yield* unmarked(shown.map((record) => toDelivery({ topic, partition }, record))))]
    }
  })

  const messagesOf = (reader: TopicReader.TopicReader, topic: string) => {
    const cursors = reader.extents.map(
      ({ end, first, partition }): Cursor => ({ partition, end, next: first, page: [] })
    )
    return Stream.paginate(undefined, () =>
      Effect.forEach(cursors, (cursor) => fill(reader, topic, cursor), { concurrency, discard: true }).pipe(
        Effect.map(() => {
          const shown = oldestFirst(cursors)
          return [shown, shown.length === 0 ? Option.none() : Option.some(undefined)] as const
        })
      )
    )
  }

  /** How many of what is there nobody has put back. */
  const waitingOf = Effect.fnUntraced(function* (topic: string, extents: ReadonlyArray<TopicReader.Extent>) {
    let waiting = 0
    for (const { end, first, partition } of extents) {
      waiting += end - first
      if (marks === undefined || end === first) continue
      yield* marks.forget({ topic, partition }, BigInt(first))
      waiting -= yield* marks.count({ topic, partition }, BigInt(end))
    }
    return Math.max(0, waiting)
  }, Effect.mapError(fromStore))

  const browse = Effect.fnUntraced(function* (topic: string): Effect.fn.Return<Browsing, BrokerError, Scope.Scope> {
    const [missing] = yield* topics.missing([topic])
    if (missing !== undefined) return yield* unroutable(client.address, `there is no topic ${topic}`)
    const open = client.attempt(`look at ${topic}`, () => TopicReader.open(client.kafka, topic))
    const reader = yield* Effect.acquireRelease(open, ({ close }) => Effect.ignore(Effect.tryPromise(close)))
    return { waiting: yield* waitingOf(topic, reader.extents), messages: messagesOf(reader, topic) }
  })

  /** Marks those that are done; all others wait as before. */
  const settle = (settlements: ReadonlyArray<Settlement>): Effect.Effect<void, BrokerError> => {
    const done = settlements
      .filter(({ outcome }) => outcome === "done")
      .map(({ delivery, replay: { by, id } = nobody }) => ({
        ...(delivery.receipt as BrowsedReceipt).place,
        replay: id,
        by
      }))
    if (marks !== undefined) return Effect.mapError(marks.mark(done), fromStore)
    return done.length === 0
      ? Effect.void
      : Effect.fail(refused(client.address, "mark what was put back: there is no database (DATABASE)"))
  }

  return { browse, settle }
}

const toDelivery = (
  { partition, topic }: { readonly topic: string; readonly partition: number },
  record: TopicReader.Page["records"][number]
): Browsed => {
  const { due: _, ...content } = fromRecord({ topic, partition }, record)
  const place = { topic, partition, offset: BigInt(record.offset), writtenAtMillis: Number(record.timestamp) }
  return { ...content, attempt: 1, receipt: { place } }
}

/** Takes out what can be shown in order by now: as long as of no partition the next record is still to be read. */
const oldestFirst = (cursors: ReadonlyArray<Cursor>): ReadonlyArray<Browsed> => {
  const heads = new Map(cursors.map((cursor) => [cursor, 0]))
  const shown: Array<Browsed> = []
  const headOf = (cursor: Cursor): Browsed | undefined => cursor.page[heads.get(cursor) ?? 0]
  const timeOf = (cursor: Cursor): number => headOf(cursor)?.receipt.place.writtenAtMillis ?? Number.POSITIVE_INFINITY
  while (cursors.every((cursor) => headOf(cursor) !== undefined || cursor.next >= cursor.end)) {
    const oldest = cursors.reduce((one, other) => (timeOf(other) < timeOf(one) ? other : one), cursors[0] as Cursor)
    const head = headOf(oldest)
    if (head === undefined) break
    shown.push(head)
    heads.set(oldest, (heads.get(oldest) ?? 0) + 1)
  }
  for (const cursor of cursors) cursor.page = cursor.page.slice(heads.get(cursor))
  return shown
}
