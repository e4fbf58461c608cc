/** Databases of their own for test files, on the server that they share. */
import { randomUUID } from "node:crypto"
import { Effect, Redacted } from "effect"
import { Client, escapeIdentifier, type QueryResultRow } from "pg"
import { inject } from "vitest"

const withClient = <A>(url: string, use: (client: Client) => Promise<A>) =>
  Effect.promise(async () => {
    const client = new Client({ connectionString: url })
    await client.connect()
    return use(client).finally(() => client.end())
  })

/** Runs one statement, or several without parameters, on a connection of its own. */
export const query = <Row extends QueryResultRow>(
  url: Redacted.Redacted,
  statement: string,
  parameters?: ReadonlyArray<unknown>
) =>
  withClient(
    Redacted.value(url),
    async (client) => (await client.query<Row>(statement, parameters && [...parameters])).rows
  )

/** The address of a new database, which is dropped with the scope. */
export const newDatabase = Effect.acquireRelease(
  Effect.gen(function* () {
    const name = `test-${randomUUID()}`
    yield* query(Redacted.make(inject("databaseUrl")), `CREATE DATABASE ${escapeIdentifier(name)}`)
    const url = new URL(inject("databaseUrl"))
    url.pathname = `/${name}`
    return Redacted.make(url.href)
  }),
  (url) => {
    const name = new URL(Redacted.value(url)).pathname.slice(1)
    return query(Redacted.make(inject("databaseUrl")), `DROP DATABASE ${escapeIdentifier(name)} WITH (FORCE)`)
  }
)

/** A role that may log in and do what `grants` say, dropped with the scope. */
export const limitedRole = (url: Redacted.Redacted, grants: string) => {
  const address = new URL(Redacted.value(url))
  const role = `role_${address.pathname.slice(-12)}`
  address.username = role
  address.password = "secret"
  const make = `REVOKE CREATE ON SCHEMA public FROM public; CREATE ROLE ${role} LOGIN PASSWORD 'secret'; ${grants.replaceAll("$role", role)}`
  return Effect.acquireRelease(Effect.as(query(url, make), { role, url: Redacted.make(address.href) }), () =>
    query(url, `DROP OWNED BY ${role}; DROP ROLE ${role}`)
  )
}
