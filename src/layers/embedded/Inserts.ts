/** Messages become rows, so many with each statement. */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import type { BrokerError, MessageContent } from "../../domain/ports/Broker.ts"
import { noQueue } from "./Claims.ts"
import * as Envelope from "./Envelope.ts"
import type { JobQueue } from "./JobQueue.ts"
import * as OrderedQueues from "./OrderedQueues.ts"

/** One insert takes this much: a statement has to fit into memory several times over. */
const largestInsertMessages = 1000
const largestInsertBytes = 16 * 1024 * 1024

/** The messages in order, in batches of what one insert takes. */
export const batchesOf = <M extends MessageContent>(messages: ReadonlyArray<M>): ReadonlyArray<ReadonlyArray<M>> => {
  const batches: Array<Array<M>> = []
  let bytes = Number.POSITIVE_INFINITY
  for (const message of messages) {
    const batch = batches.at(-1)
    bytes += message.body.length
    if (batch !== undefined && batch.length < largestInsertMessages && bytes <= largestInsertBytes) batch.push(message)
    else bytes = batches.push([message]) && message.body.length
  }
  return batches
}

/** A message of a queue; `startAfter` is seconds from now. */
interface Row {
  readonly message: MessageContent
  readonly startAfter?: string
}

/** Adds rows to one queue. */
export const insert = (jobs: JobQueue, queue: string, rows: ReadonlyArray<Row>): Effect.Effect<unknown, BrokerError> =>
  Effect.flatMap(OrderedQueues.isOrdered(jobs, queue), (isOrdered) => {
    const sealed = rows.map(({ message, ...row }) => ({
      ...row,
      data: Envelope.seal(message),
      ...(isOrdered && { singletonKey: OrderedQueues.keyOf(message) ?? randomUUID() })
    }))
    return jobs.use((boss) => boss.insert(queue, sealed, { returnId: true }))
  }).pipe(
    // a queue that was deleted since we last saw it takes no rows, and raises no error
    Effect.filterOrFail(
      (ids) => ids?.length === rows.length,
      () => noQueue(jobs, queue)
    )
  )
