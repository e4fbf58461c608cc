/** Idempotency keys in a Redis that is away, frozen, restarted, full of secrets, or says no. */
import { randomUUID } from "node:crypto"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Logger } from "effect"
import { type Claim, IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import type { StoreError } from "../../src/domain/StoreError.ts"
import { redisKeys } from "../support/RedisKeys.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Redis from "../support/servers/Redis.ts"
import * as TcpProxy from "../support/servers/TcpProxy.ts"

/** A server that only these tests use. */
class OwnRedis extends Context.Service<OwnRedis, Redis.RedisServer>()("paystream/test/OwnRedis") {
  static readonly layer = Layer.effect(OwnRedis, Redis.startOwn)
}

const request = (fields: Partial<Parameters<IdempotencyKeys["Service"]["claim"]>[0]> = {}) => ({
  scope: "payments",
  key: randomUUID(),
  fingerprint: "first",
  lease: Duration.minutes(1),
  retention: Duration.hours(24),
  ...fields
})

const claimed = (keys: IdempotencyKeys["Service"], given = request()) =>
  Effect.map(keys.claim(given), (claim) => {
    assert.strictEqual(claim._tag, "Claimed")
    return (claim as Extract<Claim, { _tag: "Claimed" }>).held
  })

/** Keys at an address, with a connection of their own. */
const keysAt = (url: string) => Effect.map(Layer.build(redisKeys(url)), (built) => Context.get(built, IdempotencyKeys))

/** The error of a claim, which is there before the deadline. */
const errorOf = (keys: IdempotencyKeys["Service"]): Effect.Effect<StoreError> =>
  Effect.orDie(Effect.timeout(Effect.flip(keys.claim(request())), "10 seconds")) as Effect.Effect<StoreError>

const soon = { deadline: "20 seconds", every: "50 millis" } as const

layer(OwnRedis.layer, { excludeTestServices: true, timeout: "60 seconds" })("Idempotency keys in Redis", (it) => {
  it.effect("are away while Redis is, told in a bounded time, and back when it is", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const keys = yield* keysAt(server.url)
      const given = request()
      const held = yield* claimed(keys, given)
      yield* server.kill
      for (const error of [yield* errorOf(keys), yield* errorOf(keys)]) {
        assert.strictEqual(error.reason._tag, "StoreAway")
        assert.include(error.message, `Redis at ${server.host}:${server.port}/0`)
      }
      yield* server.start
      // What Redis has kept on its disk is as it was.
      assert.isTrue(yield* eventually(keys.complete(held, "done"), soon))
      assert.deepStrictEqual(yield* keys.claim(given), { _tag: "Completed", answer: "done" })
    }).pipe(Effect.scoped)
  )

  it.effect("can be asked for before Redis is there", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      yield* server.stop
      const keys = yield* keysAt(server.url)
      assert.strictEqual((yield* errorOf(keys)).reason._tag, "StoreAway")
      yield* server.start
      yield* eventually(claimed(keys), soon)
    }).pipe(Effect.scoped)
  )

  it.effect("are away while Redis is frozen, for each of many who ask, and back when it is not", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const keys = yield* keysAt(server.url)
      yield* claimed(keys)
      yield* server.pause
      const errors = yield* Effect.ensuring(
        Effect.forEach(Array.from({ length: 20 }), () => errorOf(keys), { concurrency: "unbounded" }),
        Effect.orDie(server.resume)
      )
      assert.isTrue(errors.every(({ reason }) => reason._tag === "StoreAway"))
      yield* eventually(claimed(keys), soon)
    }).pipe(Effect.scoped)
  )

  it.effect("are away while the network swallows everything, and back on a new connection", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const proxy = yield* TcpProxy.start(server)
      const keys = yield* keysAt(`redis://${proxy.host}:${proxy.port}`)
      yield* claimed(keys)
      yield* proxy.freeze
      assert.strictEqual((yield* errorOf(keys)).reason._tag, "StoreAway")
      yield* proxy.cut
      assert.strictEqual((yield* errorOf(keys)).reason._tag, "StoreAway")
      yield* proxy.heal
      yield* eventually(claimed(keys), soon)
    }).pipe(Effect.scoped)
  )

  it.effect("have tokens that grow, also when Redis has lost all of them", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const keys = yield* keysAt(server.url)
      const given = request()
      const before = yield* claimed(keys, given)
      yield* server.send("FLUSHALL")
      const after = yield* claimed(keys, given)
      assert.isTrue(after.token > before.token)
      assert.isFalse(yield* keys.complete(before, "late"))
      assert.isTrue(yield* keys.complete(after, "done"))
    }).pipe(Effect.scoped)
  )

  it.effect("go on when Redis has lost the scripts", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const keys = yield* keysAt(server.url)
      const held = yield* claimed(keys)
      yield* server.send("SCRIPT", "FLUSH")
      assert.isTrue(yield* keys.complete(held, "done"))
    }).pipe(Effect.scoped)
  )

  it.effect("leave nothing behind when they have expired", () =>
    Effect.gen(function* () {
      const server = yield* OwnRedis
      const keys = yield* keysAt(server.url)
      yield* server.send("FLUSHALL")
      const held = yield* claimed(keys, request({ retention: Duration.millis(20) }))
      yield* keys.complete(held, "done")
      yield* eventually(
        Effect.map(server.send("DBSIZE"), (size) => assert.strictEqual(size, 0)),
        soon
      )
    }).pipe(Effect.scoped)
  )
})

describe("A Redis that asks who is there", () => {
  const secret = "hunter2"
  layer(OwnRedis.layer, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("is used with a user's password, in the database of the address", () =>
      Effect.gen(function* () {
        const server = yield* OwnRedis
        yield* server.send("ACL", "SETUSER", "ann", "on", `>${secret}`, "~*", "+@all")
        const url = (credentials: string, database = 3) =>
          `redis://${credentials}${server.host}:${server.port}/${database}`
        const keys = yield* keysAt(url(`ann:${secret}@`))
        yield* claimed(keys)
        assert.match(String(yield* server.send("INFO", "keyspace")), /^db3:keys=1,/m)

        yield* server.send("ACL", "SETUSER", "ann", "-eval", "-evalsha")
        yield* server.send("ACL", "SETUSER", "default", "off")
        for (const given of [url("ann:wrong@"), url(""), url(`ann:${secret}@`, 99), url(`ann:${secret}@`)]) {
          const lines: Array<string> = []
          const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
          const asked = Effect.gen(function* () {
            const refusing = yield* keysAt(given)
            yield* errorOf(refusing)
            return yield* errorOf(refusing)
          })
          const error = yield* Effect.provide(asked, Logger.layer([logger]))
          assert.strictEqual(error.reason._tag, "StoreRefused", error.message)
          assert.deepStrictEqual(
            lines.filter((line) => line.startsWith("Warn")),
            [`Warn Redis is away: ${error.message}`]
          )
          assert.include(error.message, "REDIS_URL")
          assert.notInclude(error.message, secret)
        }
      }).pipe(Effect.scoped)
    )
  })
})
