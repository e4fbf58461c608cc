/** Holds a table of PostgreSQL locked, so that a batch stays in flight for as long as a test wants. */
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Client } from "pg"
import { eventually } from "./servers/eventually.ts"

export interface TableLock {
  /** Waits until somebody waits for the lock. */
  readonly isWaitedFor: Effect.Effect<void>
  /** Ends the connections that wait. */
  readonly endWaiting: Effect.Effect<void>
  readonly release: Effect.Effect<void>
}

const waiting = `SELECT pid FROM pg_locks WHERE NOT granted AND
  database = (SELECT oid FROM pg_database WHERE datname = current_database())`

/** Locks the table against everybody, until released or until the scope closes. */
export const hold = (databaseUrl: string, table: string): Effect.Effect<TableLock, never, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* Effect.acquireRelease(connect(databaseUrl), (client) => Effect.promise(() => client.end()))
    const run = (statement: string) => Effect.promise(() => client.query(statement))
    yield* run(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`)
    return {
      isWaitedFor: eventually(
        Effect.map(run(waiting), ({ rowCount }) => assert.isAbove(rowCount ?? 0, 0, "nobody waits for the lock")),
        { deadline: "60 seconds" }
      ),
      endWaiting: Effect.asVoid(run(waiting.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"))),
      release: Effect.asVoid(run("COMMIT"))
    }
  })

const connect = (databaseUrl: string): Effect.Effect<Client> =>
  Effect.promise(async () => {
    const client = new Client({ connectionString: databaseUrl })
    await client.connect()
    return client
  })
