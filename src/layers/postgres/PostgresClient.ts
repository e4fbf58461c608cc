/** The pool of connections to PostgreSQL. Nothing of a session is relied on, so that poolers of any kind will do. */
import { PgClient } from "@effect/sql-pg"
import { Effect, type Layer } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import type { PostgresSettings } from "../config/Settings.ts"
import { withBoundedTransactions } from "./BoundedTransactions.ts"

/**
 * A pool that connects when first used: a database that is away at start is no error here.
 * Names are left as they are, and so are the keys inside JSON.
 */
export const layer = (
  settings: PostgresSettings,
  options: { readonly maxConnections: number }
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError.SqlError> => {
  const client = PgClient.make({
    ...settings.client,
    transformJson: false,
    maxConnections: options.maxConnections,
    connectTimeout: "10 seconds",
    // A connection that a firewall has forgotten is found out within a minute, not after two hours.
    keepAlive: "30 seconds"
  })
  return PgClient.layerFrom(Effect.map(client, withBoundedTransactions))
}
