import type { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import { postgresSettings } from "../../../src/layers/config/PostgresSettings.ts"
import { anyText, problemsOf, settingsOf } from "./support.ts"

const files = { "/ca.pem": "AUTHORITY", "/cert.pem": "CERTIFICATE", "/key.pem": "KEY" }

const read = (variables: Readonly<Record<string, string>>) => {
  const { client, address } = settingsOf(postgresSettings, variables, files)
  // The compiler is the test: what we make is what the client takes.
  const options: PgClient.PgClientConfig = client
  const { password, url, ...rest } = options
  return { ...rest, password: Redacted.isRedacted(password) ? Redacted.value(password) : password, address, url }
}

const fromUrl = (url: string) => read({ DATABASE_URL: url })

describe("postgresSettings", () => {
  it("has a database on this machine when nothing is set", () => {
    assert.deepStrictEqual(read({}), {
      host: "localhost",
      port: 5432,
      database: "payments_db",
      username: "postgres",
      password: "postgres",
      applicationName: "paystream",
      ssl: false,
      prepare: true,
      address: "localhost:5432/payments_db",
      url: undefined
    })
  })

  it("takes the parts, and the folder of a socket for a host", () => {
    const settings = read({ POSTGRES_HOST: "/var/run/postgresql", POSTGRES_PORT: "5433", POSTGRES_PREPARE: "no" })
    assert.strictEqual(settings.address, "/var/run/postgresql:5433/payments_db")
    assert.isFalse(settings.prepare)
  })

  for (const scheme of ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg2", "PostgreSQL"]) {
    it(`takes ${scheme}://, which wins over the parts`, () => {
      const settings = read({ DATABASE_URL: `${scheme}://ann:p%2Fw@db.example:6432/shop%20x`, POSTGRES_PORT: "wrong" })
      assert.deepInclude(settings, {
        host: "db.example",
        port: 6432,
        username: "ann",
        password: "p/w",
        database: "shop x"
      })
    })
  }

  it("fills in what an address leaves out as libpq does", () => {
    assert.deepInclude(fromUrl("postgres://ann@db"), { database: "ann", password: undefined, port: 5432 })
    assert.deepInclude(fromUrl("postgres://db/"), { database: "postgres", username: "postgres" })
  })

  it("takes host, port, user, password and database from parameters too", () => {
    const settings = fromUrl("postgresql:///ignored?host=/var/run/postgresql&port=5433&user=u+v&password=p%26&dbname=d")
    assert.deepInclude(settings, {
      host: "/var/run/postgresql",
      port: 5433,
      username: "u+v",
      password: "p&",
      database: "d"
    })
    assert.strictEqual(fromUrl("postgres://u:p@%2Ftmp/d").host, "/tmp")
  })

  it("passes on options, search_path and application_name", () => {
    const settings = fromUrl(
      "postgres://h/d?options=-c%20statement_timeout%3D5s&search_path=pay&application_name=night&x=y"
    )
    assert.strictEqual(settings.startupOptions, "-c statement_timeout=5s")
    assert.deepStrictEqual(settings.startupParameters, { search_path: "pay" })
    assert.strictEqual(settings.applicationName, "night")
  })

  it("keeps a database that is called like a folder", () => {
    assert.strictEqual(fromUrl("postgres://h/%2E%2E").database, "..")
  })

  it.prop(
    "any user, password and database survive an address",
    { username: anyText, password: anyText, database: anyText },
    (given) => {
      const [username, password, database] = [given.username, given.password, given.database].map(encodeURIComponent)
      assert.deepInclude(fromUrl(`postgres://${username}:${password}@h/${database}`), given)
    },
    { arbitrary: { runs: 300, size: 30 } }
  )

  for (const url of [
    "mysql://a:hunter2@h/d",
    "postgres:///d",
    "postgres://a:hunter2@h:x/d",
    "postgres://a:hunter2@h:1,i:2/d",
    "hunter2",
    "postgres://a:%hunter2@h"
  ]) {
    it(`refuses ${url} without showing it`, () => {
      const problems = problemsOf(postgresSettings, { DATABASE_URL: url })
      assert.deepStrictEqual(
        problems.map(({ name, got }) => [name, got]),
        [["DATABASE_URL", "a secret value"]]
      )
      assert.notInclude(JSON.stringify(problems), "hunter2")
    })
  }
})

describe("sslmode", () => {
  const sslOf = (query: string) => fromUrl(`postgres://h/d?${query}`).ssl

  it("disable, and none at all, is plain text", () => {
    assert.isFalse(sslOf("sslmode=disable"))
    assert.isFalse(sslOf(""))
    assert.isFalse(sslOf("ssl=false"))
  })

  it("require encrypts, whoever the server is", () => {
    for (const query of ["sslmode=require", "ssl=require", "ssl=true"]) {
      assert.deepStrictEqual(sslOf(query), { rejectUnauthorized: false })
    }
  })

  it("verify-full checks authority and host", () => {
    assert.deepStrictEqual(sslOf("sslmode=verify-full"), { rejectUnauthorized: true })
    assert.deepStrictEqual(sslOf("sslmode=verify-full&sslrootcert=system"), { rejectUnauthorized: true })
    assert.deepStrictEqual(sslOf("sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/cert.pem&sslkey=/key.pem"), {
      rejectUnauthorized: true,
      ca: "AUTHORITY",
      cert: "CERTIFICATE",
      key: "KEY"
    })
  })

  it("verify-ca, and require with an authority, check the authority alone", () => {
    for (const mode of ["verify-ca", "require"]) {
      const ssl = sslOf(`sslmode=${mode}&sslrootcert=/ca.pem`)
      assert.isTrue(typeof ssl === "object")
      assert.deepInclude(ssl, { rejectUnauthorized: true, ca: "AUTHORITY" })
      assert.isUndefined(typeof ssl === "object" && ssl.checkServerIdentity?.("other", {} as never))
    }
  })

  it("prefer and allow leave it to the client, by an address", () => {
    for (const mode of ["prefer", "allow"]) {
      const { ssl, url } = fromUrl(`postgres://h/d?sslmode=${mode}`)
      assert.isUndefined(ssl)
      assert.strictEqual(url && Redacted.value(url), "postgres:///?sslmode=prefer")
    }
  })

  it("is of no matter on a Unix socket", () => {
    assert.isFalse(sslOf("sslmode=require&host=/tmp"))
  })

  const refused: ReadonlyArray<readonly [string, string]> = [
    ["sslmode=on", "one of disable"],
    ["sslmode=verify-ca", "needs an sslrootcert"],
    ["sslmode=verify-full&sslrootcert=/missing.pem", "sslrootcert cannot be read: ENOENT"],
    ["sslmode=require&sslcert=/cert.pem", "go together"],
    ["sslmode=prefer&sslrootcert=/ca.pem", "certificates need sslmode"],
    ["sslrootcert=/ca.pem", "certificates need sslmode"]
  ]
  for (const [query, flaw] of refused) {
    it(`${query} is refused`, () => {
      const [problem] = problemsOf(postgresSettings, { DATABASE_URL: `postgres://h/d?${query}` }, files)
      assert.include(problem?.takes, flaw)
    })
  }
})
