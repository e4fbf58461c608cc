/**
 * The sandbox on PostgreSQL: a provider that takes no money, whose books outlive every process that uses it.
 * `sandbox_charges` says what would have been charged and given back, and when.
 */
import { Duration, Effect, Layer, Result } from "effect"
import type { SqlClient } from "effect/sql"
import {
  type Charge,
  GatewayError,
  GatewayUnanswered,
  GatewayUnauthorized,
  PaymentGateway
} from "../../domain/ports/PaymentGateway.ts"
import * as Sandbox from "../../domain/Sandbox.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import type * as Statements from "./Statements.ts"
import * as Tables from "./Tables.ts"

interface Row extends Sandbox.SandboxCharge {
  readonly payment_method: string
}

/** A database that is away may have stored what it was told. */
const toGatewayError = ({ message, reason }: StoreError): GatewayError => {
  const detail = `the sandbox: ${message}`
  return new GatewayError({
    reason: reason._tag === "StoreAway" ? new GatewayUnanswered({ detail }) : new GatewayUnauthorized({ detail })
  })
}

const makeBooks = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { run, sql } = yield* Tables.make(options)

  const open = ({ amount, currency, paymentId, paymentMethod }: Charge, { attempts, status }: Sandbox.SandboxCharge) =>
    run(sql`
      INSERT INTO sandbox_charges (reference, payment_id, amount_minor, currency, payment_method, status, attempts)
      VALUES (${Sandbox.referenceOf(paymentId)}, ${paymentId}, ${amount}, ${currency}, ${paymentMethod}, ${status},
        ${attempts})
      ON CONFLICT (reference) DO NOTHING`)
  const find = (reference: string) =>
    Effect.map(
      run(sql<Row>`SELECT payment_method, status, attempts FROM sandbox_charges WHERE reference = ${reference}`),
      ([row]) => row
    )
  /** `false` if somebody else has changed it since it was read. */
  const replace = (reference: string, before: Sandbox.SandboxCharge, { attempts, status }: Sandbox.SandboxCharge) =>
    Effect.map(
      run(sql`
        UPDATE sandbox_charges SET status = ${status}, attempts = ${attempts},
          charged_at = CASE WHEN ${status === "Charged"} THEN coalesce(charged_at, now()) ELSE charged_at END,
          refunded_at = CASE WHEN ${status === "Refunded"} THEN coalesce(refunded_at, now()) ELSE refunded_at END
        WHERE reference = ${reference} AND status = ${before.status} AND attempts = ${before.attempts}
        RETURNING reference`),
      (rows) => rows.length > 0
    )
  return { open, find, replace }
})

const make = Effect.fnUntraced(function* ({ delay, ...options }: SandboxOptions) {
  const books = yield* makeBooks(options)

  const change = Effect.fnUntraced(function* <A>(reference: string, decide: (row: Row) => Sandbox.SandboxAnswer<A>) {
    while (true) {
      const row = yield* books.find(reference)
      if (row === undefined) return Result.fail(Sandbox.unknownReference)
      const { charge, heard } = decide(row)
      const isSame = charge.status === row.status && charge.attempts === row.attempts
      if (isSame || (yield* books.replace(reference, row, charge))) return heard
    }
  })
  const answered = <A>(effect: Effect.Effect<A, GatewayError>) =>
    Duration.isZero(delay) ? effect : Effect.delay(effect, delay)
  const changed = <A>(reference: string, decide: (row: Row) => Sandbox.SandboxAnswer<A>) =>
    change(reference, decide).pipe(
      Effect.mapError(toGatewayError),
      Effect.flatMap((heard): Effect.Effect<A, GatewayError> => Effect.fromResult(heard)),
      answered
    )
  const prepare = Effect.fnUntraced(function* (charge: Charge) {
    const begun = yield* Effect.fromResult(Sandbox.prepared(charge.paymentMethod))
    yield* Effect.mapError(books.open(charge, begun), toGatewayError)
    return Sandbox.referenceOf(charge.paymentId)
  })

  return PaymentGateway.of({
    kind: "sandbox",
    prepare: (charge) => answered(prepare(charge)),
    confirm: ({ reference }) => changed(reference, (row) => Sandbox.confirm(row.payment_method, row)),
    retrieve: (reference) => changed(reference, Sandbox.look),
    cancel: (reference) => changed(reference, Sandbox.cancel),
    refund: ({ attempt, reference }) => changed(reference, (row) => Sandbox.refund(row.payment_method, attempt, row)),
    retrieveRefund: ({ reference }) => changed(reference, (row) => Sandbox.lookRefund(row.payment_method, row))
  })
})

export interface SandboxOptions extends Statements.StatementOptions {
  /** How long each request takes besides. */
  readonly delay: Duration.Duration
}

/** On a pool of connections; connects, and makes its table, when first used. */
export const layer = (options: SandboxOptions): Layer.Layer<PaymentGateway, never, SqlClient.SqlClient> =>
  Layer.effect(PaymentGateway, make(options))
