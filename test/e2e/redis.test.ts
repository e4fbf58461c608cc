/** The HTTP API with its idempotency keys in a real Redis. */
import { randomUUID } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Api from "../support/Api.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Redis from "../support/servers/Redis.ts"

for (const runtime of Stage.runtimes) {
  describe(`an API with REDIS_URL (${runtime})`, () => {
    it.live("does a request once, asks for a repeat later while Redis is away, and does that once too", () =>
      Effect.gen(function* () {
        const redis = yield* Redis.startOwn
        const stage = yield* Stage.make
        const exchange = yield* Api.exchange(stage.brokerUrl)
        const env = { RABBITMQ_EXCHANGE: exchange.name, REDIS_URL: redis.url }
        const { child, url } = yield* Api.start(stage, { runtime, env })
        const post = (key: string, body: string) => Api.post(`${url}/rabbit`, body, { "idempotency-key": key })
        const [key, body] = [randomUUID(), Api.request()]
        const first = yield* post(key, body)
        assert.strictEqual(first.status, 200)
        assert.include(String(yield* redis.send("KEYS", "*")), key)
        const second = yield* post(key, body)
        assert.strictEqual(second.headers.get("idempotency-replayed"), "true")
        assert.strictEqual(second.text, first.text)

        yield* redis.kill
        const later = randomUUID()
        assert.strictEqual((yield* post(later, body)).status, 503)
        yield* redis.start
        const back = yield* eventually(
          Effect.tap(post(later, body), ({ status }) => Effect.sync(() => assert.strictEqual(status, 200))),
          { deadline: "20 seconds" }
        )
        assert.isNull(back.headers.get("idempotency-replayed"))
        assert.strictEqual((yield* post(key, body)).headers.get("idempotency-replayed"), "true")
        assert.lengthOf(yield* Queues.takeAll(stage.brokerUrl, exchange.queue), 2)
        yield* child.kill("SIGTERM")
        assert.strictEqual(yield* child.exit, 0)
      })
    )
  })
}
