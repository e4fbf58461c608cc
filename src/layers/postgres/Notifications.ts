/** What a database notifies of, on a connection for nothing else. */
import { type PgClient, PgConnection } from "@effect/sql-pg"
import { Effect, Scope, Stream } from "effect"
import type { SqlError } from "effect/sql"

/** The notifications of a channel, until the connection is lost. */
export const on = (
  client: PgClient.PgClient,
  channel: string
): Stream.Stream<PgConnection.Notification, SqlError.SqlError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      // Let go of after the connection: before, the driver would say so to the server, and wait for an answer without end.
      const listening = yield* Scope.fork(yield* Scope.Scope)
      const connection = yield* PgConnection.make(client.config)
      return Stream.fromQueue(yield* Scope.provide(connection.listen(channel), listening))
    })
  )
