/**
 * Payments in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives; times are those of the clock.
 * - What is created or appended in a transaction of `MemoryOutbox` belongs to it.
 */
import { Duration, Effect, HashMap, Layer, Option } from "effect"
import { evolve, isFinal, type PaymentState, requested, type Status, transitions } from "../../domain/PaymentState.ts"
import {
  type Append,
  type ClaimedPayment,
  type NewPayment,
  type OverduePayment,
  type Payment,
  PaymentIntents,
  type PaymentStep,
  type Standing
} from "../../domain/ports/PaymentIntents.ts"
import { StoreError, StoreRefused } from "../../domain/StoreError.ts"
import * as MemoryTransactions from "./MemoryTransactions.ts"

interface Row {
  readonly payment: Payment
  readonly history: ReadonlyArray<PaymentStep>
  readonly token: bigint
  /** The places of its creation and of its last change among all of them: many things happen at one time. */
  readonly created: number
  readonly changed: number
  /** 0 for nobody's. */
  readonly leaseUntil: number
  /** 0 where it was not postponed. */
  readonly postponedUntil: number
}
type Rows = MemoryTransactions.Rows<Row>
type Written<A> = MemoryTransactions.Written<A, Row>
type Held = Pick<ClaimedPayment, "id" | "token">

const rowOf = (rows: Rows, id: string): Row | undefined => Option.getOrUndefined(HashMap.get(rows, id))

const rowsOf = (rows: Rows): Array<Row> => [...HashMap.values(rows)]

const newRow = ({ event, id, idempotencyKey }: NewPayment, now: number, place: number): Row => ({
  payment: {
    id,
    idempotencyKey,
    state: requested(event),
    version: 1,
    createdAtMillis: now,
    updatedAtMillis: now
  },
  history: [{ event, atMillis: now }],
  created: place,
  changed: place,
  token: 0n,
  leaseUntil: 0,
  postponedUntil: 0
})

const holds = (row: Row, token: bigint): boolean => row.token === token && row.leaseUntil > 0

const isAllowed = (from: Status, to: Status): boolean =>
  from === to || (transitions[from] as ReadonlyArray<Status>).includes(to)

const appended = (row: Row, { events, state }: Append, now: number, place: number): Row => ({
  ...row,
  changed: place,
  postponedUntil: 0,
  leaseUntil: isFinal(state) ? 0 : row.leaseUntil,
  payment: {
    ...row.payment,
    state: events.reduce(evolve, row.payment.state),
    version: row.payment.version + events.length,
    updatedAtMillis: now
  },
  history: [...row.history, ...events.map((event) => ({ event, atMillis: now }))]
})

const illegal = (from: Status, to: Status): StoreError =>
  new StoreError({ reason: new StoreRefused({ detail: `a payment cannot go from ${from} to ${to}` }) })

type Appending = "stored" | "stale" | StoreError

const appendTo = (rows: Rows, append: Append, now: number, place: number): Written<Appending> => {
  const row = rowOf(rows, append.id)
  if (row === undefined || row.payment.version !== append.version) return ["stale", rows]
  if (append.token !== undefined && !holds(row, append.token)) return ["stale", rows]
  const { status } = row.payment.state
  if (!isAllowed(status, append.state.status)) return [illegal(status, append.state.status), rows]
  return ["stored", HashMap.set(rows, append.id, appended(row, append, now, place))]
}

const claimIn = (rows: Rows, id: string, leaseUntil: number, now: number): Written<ClaimedPayment | undefined> => {
  const row = rowOf(rows, id)
  if (row === undefined || row.leaseUntil > now) return [undefined, rows]
  const token = row.token + 1n
  return [{ ...row.payment, token }, HashMap.set(rows, id, { ...row, token, leaseUntil })]
}

/** Sets how long a claim holds, where it was not lost. */
const leaseIn = (rows: Rows, { id, token }: Held, leaseUntil: number): Written<boolean> => {
  const row = rowOf(rows, id)
  if (row === undefined || !holds(row, token)) return [false, rows]
  return [true, HashMap.set(rows, id, { ...row, leaseUntil })]
}

const postponeIn = (rows: Rows, { id, token }: Held, postponedUntil: number): Written<void> => {
  const row = rowOf(rows, id)
  if (row === undefined || !holds(row, token)) return [undefined, rows]
  return [undefined, HashMap.set(rows, id, { ...row, postponedUntil })]
}

const goesOn = (state: PaymentState): boolean => !isFinal(state) && !state.isCompensationRequired

/** Since when it should have gone on, in milliseconds. */
const quietSince = ({ payment, postponedUntil }: Row): number => Math.max(payment.updatedAtMillis, postponedUntil)

const byAge = (one: Row, other: Row): number => quietSince(one) - quietSince(other) || one.changed - other.changed
const latestFirst = (one: Row, other: Row): number => other.created - one.created

const stuckIn = (rows: Rows, age: Duration.Duration, now: number): ReadonlyArray<Row> =>
  rowsOf(rows)
    .filter((row) => {
      const isQuiet = quietSince(row) <= now - Duration.toMillis(age) && row.leaseUntil <= now
      return isQuiet && goesOn(row.payment.state)
    })
    .sort(byAge)

/** Room for as many places within a millisecond. */
const placesPerMilli = 1_000_000n

const overdueIn = (rows: Rows, age: Duration.Duration, now: number): ReadonlyArray<OverduePayment> =>
  stuckIn(rows, age, now)
    .filter(({ payment }) => payment.state.quarantine === undefined)
    .map((row) => ({
      id: row.payment.id,
      status: row.payment.state.status,
      since: BigInt(Math.floor(quietSince(row))) * placesPerMilli + BigInt(row.changed),
      quietMillis: now - quietSince(row)
    }))

const isUnsettled = ({ status }: OverduePayment): boolean => status === "in_doubt" || status === "compensating"

const standingIn = (rows: Rows, stuckAfter: Duration.Duration, now: number): Standing => {
  const payments = rowsOf(rows).map(({ payment }) => payment)
  const inDoubt = payments.filter(({ state }) => state.status === "in_doubt")
  return {
    inDoubt: inDoubt.length,
    oldestInDoubtMillis: Math.max(0, ...inDoubt.map(({ updatedAtMillis }) => now - updatedAtMillis)),
    compensating: payments.filter(({ state }) => state.status === "compensating").length,
    required: payments.filter(({ state }) => state.isCompensationRequired).length,
    stuck: stuckIn(rows, stuckAfter, now).length
  }
}

const forgetIn = (rows: Rows, before: number, limit: number): Written<number> => {
  const ended = rowsOf(rows).filter(({ payment }) => isFinal(payment.state) && payment.updatedAtMillis < before)
  const old = ended.sort(byAge).slice(0, limit)
  return [old.length, old.reduce((rest, { payment }) => HashMap.remove(rest, payment.id), rows)]
}

const summaryOf = ({ leaseUntil, payment, postponedUntil }: Row, now: number) => ({
  ...payment,
  leaseLeftMillis: Math.max(0, leaseUntil - now),
  postponedMillis: Math.max(0, postponedUntil - now)
})

const lookingAt = (table: Table): Pick<PaymentIntents["Service"], "find" | "findByReference" | "history" | "list"> => ({
  find: (id) => table.read((rows) => rowOf(rows, id)?.payment),
  findByReference: (reference) =>
    table.read((rows) => rowsOf(rows).find(({ payment }) => payment.state.reference === reference)?.payment),
  history: (id) => table.read((rows) => rowOf(rows, id)?.history ?? []),
  list: (statuses, limit) =>
    table.read((rows, now) =>
      rowsOf(rows)
        .filter(({ payment }) => statuses.length === 0 || statuses.includes(payment.state.status))
        .sort(latestFirst)
        .slice(0, limit)
        .map((row) => summaryOf(row, now))
    )
})

type Table = ReturnType<typeof MemoryTransactions.makeTable<Row>>

const make = Effect.sync(() => {
  let places = 0
  const table: Table = MemoryTransactions.makeTable<Row>()
  return PaymentIntents.of({
    ...lookingAt(table),
    create: (payment) =>
      Effect.andThen(
        MemoryTransactions.onCommit("PaymentIntents.create", () => {}),
        table.write<boolean>((rows, now) =>
          HashMap.has(rows, payment.id)
            ? [false, rows]
            : [true, HashMap.set(rows, payment.id, newRow(payment, now, ++places))]
        )
      ),
    append: Effect.fnUntraced(function* (append) {
      yield* MemoryTransactions.onCommit("PaymentIntents.append", () => {})
      const result = yield* table.write((rows, now) => appendTo(rows, append, now, ++places))
      return typeof result === "string" ? result === "stored" : yield* result
    }),
    claim: (id, lease) => table.write((rows, now) => claimIn(rows, id, now + Duration.toMillis(lease), now)),
    renew: (held, lease) => table.write((rows, now) => leaseIn(rows, held, now + Duration.toMillis(lease))),
    postpone: (held, wait) => table.write((rows, now) => postponeIn(rows, held, now + Duration.toMillis(wait))),
    release: (held) => Effect.asVoid(table.write((rows) => leaseIn(rows, held, 0))),
    overdue: (age, limit, after) =>
      table.read((rows, now) =>
        overdueIn(rows, age, now)
          .filter(({ since }) => after === undefined || since > after.since)
          .slice(0, limit)
      ),
    unsettled: (age, limit) =>
      table.read((rows, now) => overdueIn(rows, age, now).filter(isUnsettled).toReversed().slice(0, limit)),
    stuck: (age, limit) =>
      table.read((rows, now) =>
        stuckIn(rows, age, now)
          .slice(0, limit)
          .map(({ payment }) => payment.id)
      ),
    standing: (stuckAfter) => table.read((rows, now) => standingIn(rows, stuckAfter, now)),
    forget: (age, limit) => table.write((rows, now) => forgetIn(rows, now - Duration.toMillis(age), limit)),
    prepare: Effect.void,
    ping: Effect.void
  })
})

/** No payments at first, of its own for each use of the layer. */
export const layer: Layer.Layer<PaymentIntents> = Layer.effect(PaymentIntents, make)
