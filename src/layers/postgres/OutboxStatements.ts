/** What the outbox's statements have in common: how they are run, and lists as their parameters. */
import { PgTypes } from "@effect/sql-pg"
import { Effect, Result } from "effect"
import type { SqlError } from "effect/sql"
import type { StoreError } from "../../domain/StoreError.ts"
import * as Statements from "./Statements.ts"

export type Run = <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, StoreError>

/** Runs a statement, bounded in time. */
export const runner = (options: Statements.StatementOptions) =>
  Effect.map(
    Statements.make(options),
    ({ limited, run }): Run =>
      (statement) =>
        run(limited(statement))
  )

const arrayOf = (oid: number) => (values: ReadonlyArray<unknown>) => Result.getOrThrow(PgTypes.array(values, oid))

/** Typed, since the driver cannot infer the type of an empty list, or of one that holds only nulls. */
export const uuids = arrayOf(PgTypes.OID.uuid)
export const texts = arrayOf(PgTypes.OID.text)
export const integers = arrayOf(PgTypes.OID.int4)
export const bigints = arrayOf(PgTypes.OID.int8)
