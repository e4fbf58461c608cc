/** The table of payments as a worker's start finds, makes and fills it. */
import { Effect, type Redacted } from "effect"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { payment } from "../contracts/PaymentStoreContract.ts"
import { type PostgresOptions, postgresPaymentStore } from "./Services.ts"

/** One worker's start: its own connections, closed afterwards. */
export const prepare = (url: Redacted.Redacted, options?: PostgresOptions) =>
  Effect.provide(
    Effect.flatMap(PaymentStore, (store) => store.prepare),
    postgresPaymentStore(url, options),
    { local: true }
  )

/** Prepares the table and stores payments; what became of each. */
export const store = (
  url: Redacted.Redacted,
  queue: string,
  payments: ReadonlyArray<readonly [payload: string, id: string]>
) =>
  Effect.flatMap(PaymentStore, (service) =>
    Effect.andThen(
      service.prepare,
      service.store(
        queue,
        payments.map(([payload, id]) => payment(payload, id))
      )
    )
  ).pipe(
    Effect.map((outcomes) => outcomes.map(({ _tag }) => _tag)),
    Effect.provide(postgresPaymentStore(url), { local: true })
  )

/** PostgreSQL's code for what went wrong. */
export const sqlStateOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.sandbox(effect).pipe(Effect.flip),
    (cause) => String(JSON.stringify(cause.reasons)).match(/"code":"(\w+)"/)?.[1]
  )

/** Asks for the table's columns. */
export const columns = `
  SELECT column_name AS name, data_type AS type, is_nullable AS nullable, column_default AS default, is_identity AS identity
  FROM information_schema.columns WHERE table_name = 'payments' ORDER BY ordinal_position`
