import { assert, describe, it } from "@effect/vitest"
import { type ConfirmChannel, connect } from "amqplib"
import { Effect } from "effect"
import { Client } from "pg"
import { inject } from "vitest"
import { eventually } from "../support/servers/eventually.ts"
import * as Postgres from "../support/servers/Postgres.ts"
import * as Program from "../support/servers/Program.ts"
import * as RabbitMq from "../support/servers/RabbitMq.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"

const query = (url: string, statement: string) =>
  Effect.tryPromise(async () => {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000, query_timeout: 5000 })
    await client.connect()
    return client
      .query(statement)
      .then((result) => result.rows)
      .finally(() => client.end())
  })

const withChannel = <A>(url: string, use: (channel: ConfirmChannel) => Promise<A>) =>
  Effect.tryPromise(async () => {
    const connection = await connect(url)
    return use(await connection.createConfirmChannel()).finally(() => connection.close())
  })

const sendOne = (url: string) =>
  withChannel(url, async (channel) => {
    await channel.assertQueue("kept", { durable: true })
    channel.sendToQueue("kept", Buffer.from("body"), { persistent: true })
    await channel.waitForConfirms()
  })

const countKept = (url: string) => withChannel(url, async (channel) => (await channel.checkQueue("kept")).messageCount)

describe("the servers of the tests", () => {
  it.live("keep RabbitMQ's messages when it is restarted, and when it is killed", () =>
    Effect.gen(function* () {
      const server = yield* RabbitMq.startOwn
      yield* sendOne(server.url)
      yield* server.restart
      assert.strictEqual(yield* countKept(server.url), 1)
      yield* sendOne(server.url)
      yield* server.kill
      yield* server.start
      assert.strictEqual(yield* countKept(server.url), 2)
      assert.include(yield* server.ctl("list_queues", "--quiet"), "kept")
    })
  )

  it.live("keep PostgreSQL's rows when it is restarted, and when it is killed", () =>
    Effect.gen(function* () {
      const server = yield* Postgres.startOwn
      const url = yield* server.createDatabase("payments")
      yield* query(url, "CREATE TABLE kept (id int)")
      yield* query(url, "INSERT INTO kept VALUES (1)")
      yield* server.restart
      yield* query(url, "INSERT INTO kept VALUES (2)")
      yield* server.kill
      yield* server.start
      assert.deepStrictEqual(yield* query(url, "SELECT count(*)::int AS count FROM kept"), [{ count: 2 }])
    })
  )

  it.live("fail between the two as a network does, and heal", () =>
    Effect.gen(function* () {
      const target = new URL(inject("databaseUrl"))
      const proxy = yield* TcpProxy.start({ host: target.hostname, port: Number(target.port) })
      target.port = `${proxy.port}`
      const ask = query(target.href, "SELECT 1 AS one")
      for (const fault of [proxy.cut, proxy.freeze]) {
        yield* fault
        assert.isTrue((yield* Effect.exit(ask))._tag === "Failure")
        yield* proxy.heal
        assert.deepStrictEqual(yield* eventually(ask, { deadline: "30 seconds" }), [{ one: 1 }])
      }
    })
  )

  for (const runtime of ["bun", "node"] as const) {
    it.live(`start a program on ${runtime}, without the caller's settings, and see it end`, () =>
      Effect.gen(function* () {
        const source = "console.log('up', process.env.VITEST); setTimeout(() => {}, 60000)"
        const program = yield* Program.start({ runtime, main: "--eval", args: [source] })
        assert.strictEqual(yield* program.waitForLine(/^up/), "up undefined")
        yield* program.kill("SIGTERM")
        assert.strictEqual(yield* program.exit, 128 + 15)
      })
    )
  }
})
