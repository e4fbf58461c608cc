/** Lists of text as parameters: typed, since the driver cannot infer the type of a list that holds only nulls. */
import { PgTypes } from "@effect/sql-pg"
import { Result } from "effect"

/** One parameter for `unnest`. */
export const textArray = (values: ReadonlyArray<string | undefined>) =>
  Result.getOrThrow(
    PgTypes.array(
      values.map((value) => value ?? null),
      PgTypes.OID.text
    )
  )
