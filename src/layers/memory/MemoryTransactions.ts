/**
 * Transactions in memory, and tables whose changes belong to them.
 *
 * ## Guarantees
 * - What was changed in a transaction becomes visible to others when it has succeeded, in all tables at once, or never.
 * - Who writes to a table waits until the transaction that has written to it has ended.
 */
import { Clock, Effect, HashMap, Option, Semaphore } from "effect"
import { Transaction } from "../../domain/ports/Transaction.ts"

interface MemoryTransaction {
  /** What is to be done if it succeeds; neither waits nor fails. */
  readonly commits: Array<() => void>
  /** What is to be done however it ends, after that. */
  readonly ends: Array<Effect.Effect<void>>
}

/** Runs work in a transaction of its own. */
export const inTransaction = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Transaction>> =>
  Effect.suspend(() => {
    const handle: MemoryTransaction = { commits: [], ends: [] }
    let isOpen = true
    const commit = Effect.sync(() => {
      for (const run of handle.commits) run()
    })
    const end = Effect.suspend(() => {
      isOpen = false
      return Effect.all(handle.ends, { discard: true })
    })
    return Effect.provideService(work, Transaction, Transaction.of({ handle, isOpen: () => isOpen })).pipe(
      Effect.tap(commit),
      Effect.ensuring(end)
    )
  }) as Effect.Effect<A, E, Exclude<R, Transaction>>

const handleOf = ({ handle, isOpen }: Transaction["Service"]): MemoryTransaction | undefined =>
  isOpen() ? (handle as MemoryTransaction) : undefined

/** Leaves something to be done when the transaction succeeds; a defect that names `what` if it has ended. */
export const onCommit = (what: string, run: () => void): Effect.Effect<void, never, Transaction> =>
  Effect.flatMap(Transaction, (transaction) => {
    const handle = handleOf(transaction)
    if (handle === undefined) return Effect.die(new Error(`${what} after the end of its transaction`))
    return Effect.sync(() => void handle.commits.push(run))
  })

const current = Effect.map(Effect.serviceOption(Transaction), (found) =>
  Option.isSome(found) ? handleOf(found.value) : undefined
)

export type Rows<Row> = HashMap.HashMap<string, Row>

/** What a writer gives back, and the rows as they are after it. */
export type Written<A, Row> = readonly [result: A, rows: Rows<Row>]

/** Rows by their key, empty at first; `now` is the clock's. */
export const makeTable = <Row>() => {
  let committed: Rows<Row> = HashMap.empty()
  const uncommitted = new Map<MemoryTransaction, Rows<Row>>()
  const turn = Semaphore.makeUnsafe(1)

  const leave = (transaction: MemoryTransaction) =>
    Effect.suspend(() => {
      uncommitted.delete(transaction)
      return Effect.asVoid(turn.release(1))
    })
  const join = (transaction: MemoryTransaction) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.map(restore(turn.take(1)), () => {
        uncommitted.set(transaction, committed)
        transaction.commits.push(() => {
          committed = uncommitted.get(transaction) ?? committed
        })
        transaction.ends.push(leave(transaction))
      })
    )

  const read = <A>(use: (rows: Rows<Row>, now: number) => A): Effect.Effect<A> =>
    Effect.gen(function* () {
      const transaction = yield* current
      const now = yield* Clock.currentTimeMillis
      return use((transaction && uncommitted.get(transaction)) ?? committed, now)
    })

  const writeAlone = <A>(use: (rows: Rows<Row>, now: number) => Written<A, Row>) =>
    turn.withPermit(
      Effect.map(Clock.currentTimeMillis, (now) => {
        const [result, rows] = use(committed, now)
        committed = rows
        return result
      })
    )
  const write = <A>(use: (rows: Rows<Row>, now: number) => Written<A, Row>): Effect.Effect<A> =>
    Effect.gen(function* () {
      const transaction = yield* current
      if (transaction === undefined) return yield* writeAlone(use)
      if (!uncommitted.has(transaction)) yield* join(transaction)
      const now = yield* Clock.currentTimeMillis
      const [result, rows] = use(uncommitted.get(transaction) ?? committed, now)
      uncommitted.set(transaction, rows)
      return result
    })

  return { read, write }
}
