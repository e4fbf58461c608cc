/** What can go wrong with the embedded PostgreSQL; in a file of its own because each step of its start can fail. */
import { Schema } from "effect"

/** PostgreSQL's own binaries cannot be found, run or started here; `detail` holds no secret. */
export class EmbeddedPostgresError extends Schema.TaggedError<EmbeddedPostgresError>()("EmbeddedPostgresError", {
  detail: Schema.String
}) {
  readonly isRetryable = false
  override get message(): string {
    return this.detail
  }
}
