/**
 * Transactions whose beginning and end take a bounded time. The driver lets nobody interrupt them: who waited for a server
 * that no longer answers did so for ever, whatever time limit stood around the transaction.
 */
import type { PgClient } from "@effect/sql-pg"
import { Effect, Predicate } from "effect"
import { SqlClient, type SqlConnection, SqlError } from "effect/sql"
import { statementTimeout } from "./Statements.ts"

type Connection = SqlConnection.Connection

const unanswered = (operation: string) => {
  const message = `no answer to ${operation} within ${statementTimeout}`
  return new SqlError.SqlError({
    reason: new SqlError.ConnectionError({ cause: new Error(message), message, operation })
  })
}

const rolledBack = () => {
  const message = "the transaction has failed, and was rolled back"
  return new SqlError.SqlError({
    reason: new SqlError.UnknownError({ cause: new Error(message), message, operation: "COMMIT" })
  })
}

const control = (connection: Connection, statement: string): Effect.Effect<unknown, SqlError.SqlError> =>
  Effect.timeoutOrElse(connection.executeRaw(statement, []), {
    duration: statementTimeout,
    // Nobody gets this connection again, with a transaction that has begun after all: the driver gives up one whose
    // statement was interrupted, unless the server says that it was cancelled.
    orElse: () => Effect.fail(unanswered(statement))
  })

/** PostgreSQL answers ROLLBACK to the COMMIT of a transaction that has failed. */
const commit = (connection: Connection): Effect.Effect<void, SqlError.SqlError> =>
  Effect.flatMap(control(connection, "COMMIT"), (answer) =>
    Predicate.hasProperty(answer, "command") && answer.command === "ROLLBACK" ? Effect.fail(rolledBack()) : Effect.void
  )

/** What the driver's own say of themselves. */
const spanAttributes = ({ config }: PgClient.PgClient): ReadonlyArray<readonly [string, unknown]> => [
  ["db.system.name", "postgresql"],
  ["db.namespace", config.database],
  ["server.address", config.host],
  ["server.port", config.port]
]

/** The same client with such transactions. */
export const withBoundedTransactions = (client: PgClient.PgClient): PgClient.PgClient => {
  const withTransaction = SqlClient.makeWithTransaction({
    transactionService: client.transactionService,
    spanAttributes: spanAttributes(client),
    acquireConnection: (restore) => restore(client.reserve),
    begin: (connection: Connection) => Effect.asVoid(control(connection, "BEGIN")),
    commit,
    // Fails where the connection is lost alone, and then there is nothing left to roll back: the work's own error says why.
    rollback: (connection) => Effect.ignore(control(connection, "ROLLBACK")),
    savepoint: (connection, id) => Effect.asVoid(control(connection, `SAVEPOINT nested_${id}`)),
    releaseSavepoint: (connection, id) => Effect.asVoid(control(connection, `RELEASE SAVEPOINT nested_${id}`)),
    rollbackSavepoint: (connection, id) => Effect.asVoid(control(connection, `ROLLBACK TO SAVEPOINT nested_${id}`))
  })
  return Object.assign(client, { withTransaction })
}
