/** What can go wrong at a database, whatever is stored there. */
import { Schema } from "effect"

/** The database is away, overloaded or otherwise in trouble that is nobody's fault: worth trying again. */
export class StoreAway extends Schema.TaggedError<StoreAway>()("StoreAway", {
  detail: Schema.String,
  code: Schema.String
}) {}

/** The database answers and says no (credentials, missing database): trying again will not help. */
export class StoreRefused extends Schema.TaggedError<StoreRefused>()("StoreRefused", { detail: Schema.String }) {}

/** The tables are not what this version needs, and it may not change them: somebody has to migrate first. */
export class StoreOutdated extends Schema.TaggedError<StoreOutdated>()("StoreOutdated", { detail: Schema.String }) {}

/** What can go wrong at a store; details name SQLSTATE and place, never a payload. */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  reason: Schema.Union([StoreAway, StoreRefused, StoreOutdated])
}) {
  get isRetryable(): boolean {
    return this.reason._tag === "StoreAway"
  }
  override get message(): string {
    return this.reason.detail
  }
}
