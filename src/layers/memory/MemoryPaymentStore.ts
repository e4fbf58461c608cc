/**
 * The payment store in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives. Payloads are equal where `jsonb` says so.
 * - A batch is stored whole, or not at all. No chance: the same calls give the same rows.
 *
 * ## Assumptions
 * - Of what PostgreSQL refuses, the simple cases are enough (see Jsonb.ts).
 */
import { Clock, Context, Duration, Effect, Layer, Result } from "effect"
import { PaymentStore, type ReceivedPayment, type StoreOutcome } from "../../domain/ports/PaymentStore.ts"
import { WorkerRuns } from "../../domain/ports/WorkerRuns.ts"
import type { RunShare } from "../../domain/WorkerRun.ts"
import * as Jsonb from "./Jsonb.ts"
import * as MemoryWorkerRuns from "./MemoryWorkerRuns.ts"

/** A payment that was stored: the payload is the text that was received. */
export interface StoredPayment extends ReceivedPayment {
  readonly queue: string
}

/** The rows, for who wants to look at them. */
export class StoredPayments extends Context.Service<
  StoredPayments,
  {
    /** In the order in which they were stored. */
    readonly all: Effect.Effect<ReadonlyArray<StoredPayment>>
  }
>()("paystream/layers/memory/StoredPayments") {}

const isText = (id: string | undefined): boolean => id === undefined || (!id.includes("\0") && id.isWellFormed())

const badId: StoreOutcome = {
  _tag: "Rejected",
  sqlState: "22021",
  detail: "the message id is not text that PostgreSQL takes"
}

interface Value {
  readonly text: string
  readonly run: string | undefined
}

const make = () => {
  const runs = MemoryWorkerRuns.make()
  const rows: Array<StoredPayment & { readonly receivedAtMillis: number }> = []
  const valuesByKey = new Map<string, Value>()
  const keyOf = (queue: string, id: string) => JSON.stringify([queue, id])

  const insert = (
    queue: string,
    { cameAgain, ...payment }: ReceivedPayment,
    text: string,
    receivedAtMillis: number,
    share: RunShare | undefined
  ): StoreOutcome => {
    const key = payment.id === undefined ? undefined : keyOf(queue, payment.id)
    const there = key === undefined ? undefined : valuesByKey.get(key)
    if (there !== undefined && there.text !== text) return { _tag: "Conflict" }
    const isCounted = there !== undefined && cameAgain === true && there.run === share?.run.id
    const counts = there === undefined ? { stored: 1 } : { duplicates: 1 }
    if (share !== undefined && !isCounted && !runs.count(share, counts)) return { _tag: "OutOfShare" }
    if (there !== undefined) return { _tag: "Duplicate" }
    if (key !== undefined) valuesByKey.set(key, { text, run: share?.run.id })
    rows.push({ ...payment, queue, receivedAtMillis })
    return { _tag: "Stored" }
  }
  const forget = (before: number, limit: number): number => {
    const young = rows.findIndex(({ receivedAtMillis }) => receivedAtMillis > before)
    const old = rows.splice(0, Math.min(limit, young === -1 ? rows.length : young))
    for (const { id, queue } of old) if (id !== undefined) valuesByKey.delete(keyOf(queue, id))
    return old.length
  }
  const store =
    (queue: string, share: RunShare | undefined, now: number) =>
    (payment: ReceivedPayment): StoreOutcome =>
      isText(payment.id)
        ? Result.match(Jsonb.canonical(payment.payload), {
            onFailure: (refusal) => ({ _tag: "Rejected", ...refusal }),
            onSuccess: (value) => insert(queue, payment, value, now, share)
          })
        : badId

  return Context.make(PaymentStore, {
    address: "memory",
    store: (queue, payments, share) =>
      Effect.map(Clock.currentTimeMillis, (now) => payments.map(store(queue, share, now))),
    forget: (age, limit) => Effect.map(Clock.currentTimeMillis, (now) => forget(now - Duration.toMillis(age), limit)),
    prepare: Effect.void,
    permitted: Effect.void,
    ping: Effect.void
  }).pipe(
    Context.add(StoredPayments, {
      all: Effect.sync(() => rows.map(({ receivedAtMillis: _, ...row }) => row))
    }),
    Context.add(WorkerRuns, runs.service)
  )
}

/** An empty store of its own for each use of the layer. */
export const layer: Layer.Layer<PaymentStore | StoredPayments | WorkerRuns> = Layer.syncContext(make)
