/** A batch of payments, stored as one; by halves where a row is at fault, until the culprits are found. */
import { Effect, Schedule } from "effect"
import type { SqlError } from "effect/sql"
import type { ReceivedPayment, StoreOutcome } from "../../domain/ports/PaymentStore.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { blamesRow, isContention, serverText, sqlStateOf } from "./SqlState.ts"

/** Two batches that hold each other up are told apart within a few tries of some milliseconds. */
export const contentionRetry = Schedule.max([Schedule.jittered(Schedule.exponential("5 millis")), Schedule.recurs(8)])

export type Rows = ReadonlyArray<ReceivedPayment>
/** Works on rows as one: a value for each, or the failure of all. */
export type Attempt<A> = (rows: Rows) => Effect.Effect<ReadonlyArray<A>, SqlError.SqlError | StoreError>

export const undecided: StoreOutcome = { _tag: "Undecided" }

/**
 * Runs the rows as one; where a row is at fault, by halves, so that only the culprits are set aside. What one half has
 * decided stays so when the database goes away in the other: rows without an id would be stored again.
 */
export const halving = <A>(
  rows: Rows,
  attempt: Attempt<A>
): Effect.Effect<ReadonlyArray<A | StoreOutcome>, SqlError.SqlError | StoreError> =>
  attempt(rows).pipe(
    Effect.retry({ schedule: contentionRetry, while: (error) => error._tag === "SqlError" && isContention(error) }),
    Effect.catch((error): ReturnType<typeof halving<A>> => {
      const sqlState = error._tag === "SqlError" ? sqlStateOf(error) : undefined
      if (error._tag !== "SqlError" || sqlState === undefined || !blamesRow(sqlState)) return Effect.fail(error)
      if (rows.length === 1) return Effect.succeed([{ _tag: "Rejected", sqlState, detail: serverText(error) }])
      const middle = rows.length >> 1
      const right = rows.slice(middle)
      return Effect.zipWith(
        halving(rows.slice(0, middle), attempt),
        Effect.orElseSucceed(halving(right, attempt), () => right.map(() => undecided)),
        (decided, rest) => [...decided, ...rest]
      )
    })
  )

// The driver refuses such text or changes it in silence; either way no such id could be found again.
export const unstorableId = (row: ReceivedPayment): boolean =>
  row.id !== undefined && (row.id.includes("\0") || !row.id.isWellFormed())
export const badId: StoreOutcome = {
  _tag: "Rejected",
  sqlState: "22021",
  detail: "the message id is not text that PostgreSQL takes"
}

/** Fills the gaps of `outcomes`, in order, with what `decide` says of the rows that left them. */
export const fillGaps = <E>(
  rows: Rows,
  outcomes: ReadonlyArray<StoreOutcome | undefined>,
  decide: (gaps: Rows) => Effect.Effect<ReadonlyArray<StoreOutcome | undefined>, E>
): Effect.Effect<ReadonlyArray<StoreOutcome | undefined>, E> => {
  const gaps = rows.filter((_, index) => outcomes[index] === undefined)
  if (gaps.length === 0) return Effect.succeed(outcomes)
  return Effect.map(decide(gaps), (filled) => {
    let next = 0
    return outcomes.map((outcome) => outcome ?? filled[next++])
  })
}
