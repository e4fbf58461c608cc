/** Payments over HTTP, stored with the commands that process them, in front of a real PostgreSQL and a real Redis. */
import { randomUUID } from "node:crypto"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { inject } from "vitest"
import * as Api from "../support/Api.ts"
import { behind } from "../support/Behind.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Payments from "../support/Payments.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TableLock from "../support/TableLock.ts"

const count = "SELECT count(*)::int AS payments FROM payment_intents"
interface Count {
  readonly payments: number
}

const typeOf = ({ headers, text }: Api.Answer): string => {
  assert.strictEqual(headers.get("content-type"), "application/problem+json")
  return JSON.parse(text).type.replace("urn:paystream:problem:", "")
}

const isReplay = ({ headers }: Api.Answer) => headers.get("idempotency-replayed") === "true"

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`payments over HTTP (${runtime})`, () => {
    live("stores a payment with its event and its command, and says where to look", () =>
      Effect.gen(function* () {
        const { ask, rows, url } = yield* Payments.start({ runtime })
        const first = yield* ask(Payments.body("pm_card_visa", { orderId: "order-1", note: "not kept" }), "k1")
        const { id, ...payment } = Payments.told(first)
        assert.deepStrictEqual([first.status, first.headers.get("location")], [202, `/payments/${id}`])
        assert.deepStrictEqual({ ...payment }, {
          status: "requested",
          amount: "100.00",
          currency: "BRL",
          paymentMethod: "pm_card_visa",
          orderId: "order-1"
        } as object)
        const [event, command, ...others] = yield* rows<Payments.OutboxRow>(Payments.outbox)
        assert.deepStrictEqual(others, [])
        assert.deepInclude(event, { topic: "payment.events.requested", key: id, headers: { version: "1" } })
        assert.deepInclude(command, { topic: "payment.commands.process", key: id, headers: { version: "1" } })
        assert.deepInclude(command?.payload, { type: "ProcessPayment", paymentId: id, amount: "100.00" })

        const found = yield* Api.ask(`${url}/payments/${id}`)
        assert.strictEqual(found.status, 200)
        assert.deepStrictEqual(
          Payments.told(found).history?.map(({ event }) => event),
          ["requested"]
        )
        assert.notInclude(found.text, "not kept")
      })
    )

    live("answers the same request with the first answer again, and refuses another under its key", () =>
      Effect.gen(function* () {
        const { ask, rows, url } = yield* Payments.start({ runtime, env: { API_KEYS: "ann,bob" } })
        const [ann, bob] = [{ authorization: "Bearer ann" }, { "x-api-key": "bob" }]
        const first = yield* ask(Payments.body(), "k", ann)
        const again = yield* ask(
          '{"paymentMethod":"pm_card_visa","amount":100.00,"currency":"BRL","extra":1}',
          "k",
          ann
        )
        assert.deepStrictEqual(
          [again.status, again.text, again.headers.get("location"), isReplay(first), isReplay(again)],
          [202, first.text, first.headers.get("location"), false, true]
        )
        const other = yield* ask(Payments.body("pm_card_visa", { amount: "100.01" }), "k", ann)
        assert.deepStrictEqual([other.status, typeOf(other)], [422, "idempotency-key-reused"])
        const bobs = yield* ask(Payments.body(), "k", bob)
        assert.deepStrictEqual([bobs.status, isReplay(bobs)], [202, false])
        assert.notStrictEqual(Payments.told(bobs).id, Payments.told(first).id)
        assert.strictEqual((yield* Api.post(`${url}/payments`, Payments.body())).status, 401)
        assert.strictEqual((yield* Api.ask(`${url}${first.headers.get("location")}`)).status, 401)
        // every key sees every payment
        assert.strictEqual((yield* Api.ask(`${url}${first.headers.get("location")}`, { headers: bob })).status, 200)
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 2 }])
      })
    )

    live("makes a hundred payments of a thousand concurrent requests with a hundred keys", () =>
      Effect.gen(function* () {
        const { ask, rows } = yield* Payments.start({ runtime })
        const answers = yield* Effect.forEach(
          Array.from({ length: 1000 }, (_, index) => index % 100),
          (number) =>
            Effect.map(
              ask(Payments.body("pm_card_visa", { amount: `${number + 1}.00` }), `key-${number}`),
              (answer) => ({
                number,
                answer
              })
            ),
          { concurrency: 1000 }
        )
        const ids = new Map<number, Set<string>>()
        for (const { answer, number } of answers) {
          assert.include([202, 409], answer.status)
          if (answer.status === 202) ids.set(number, (ids.get(number) ?? new Set()).add(Payments.told(answer).id))
        }
        assert.deepStrictEqual([ids.size, [...ids.values()].every(({ size }) => size === 1)], [100, true])
        assert.strictEqual(answers.filter(({ answer }) => answer.status === 202 && !isReplay(answer)).length, 100)
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 100 }])
        const commands = "SELECT count(*)::int AS payments FROM outbox_events WHERE topic = 'payment.commands.process'"
        assert.deepStrictEqual(yield* rows<Count>(commands), [{ payments: 100 }])
      })
    )

    live("makes no second payment where the keys were lost: the payment itself is found", () =>
      Effect.gen(function* () {
        const { ask, rows } = yield* Payments.start({ runtime })
        const first = yield* ask(Payments.body(), "k")
        yield* rows("DELETE FROM idempotency_keys")
        const again = yield* ask(Payments.body(), "k")
        assert.deepStrictEqual([again.status, again.text, isReplay(again)], [202, first.text, true])
        yield* rows("DELETE FROM idempotency_keys")
        assert.strictEqual((yield* ask(Payments.body("pm_other"), "k")).status, 422)
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 1 }])
        // the keys take it for the other request's by now, and the payment knows better
        const rightful = yield* ask(Payments.body(), "k")
        assert.deepStrictEqual([rightful.status, rightful.text, isReplay(rightful)], [202, first.text, true])
        assert.strictEqual((yield* ask(Payments.body("pm_third"), "k")).status, 422)
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 1 }])
      })
    )

    live("makes no second payment after a crash between the commit and the answer", () =>
      Effect.gen(function* () {
        const first = yield* Payments.start({ runtime })
        yield* first.ask(Payments.body())
        const payments = yield* TableLock.hold(first.stage.databaseUrl, "payment_intents")
        const lost = yield* Effect.forkChild(Effect.exit(first.ask(Payments.body(), "k")))
        yield* payments.isWaitedFor
        const keys = yield* TableLock.hold(first.stage.databaseUrl, "idempotency_keys")
        yield* payments.release
        // it is committed, and its answer waits to be kept
        yield* keys.isWaitedFor
        yield* first.child.kill("SIGKILL")
        yield* first.child.exit
        yield* Fiber.join(lost)
        yield* keys.release
        yield* first.rows("UPDATE idempotency_keys SET lease_until = now() WHERE answer IS NULL")

        const second = yield* Payments.start({ runtime, stage: first.stage })
        const again = yield* second.ask(Payments.body(), "k")
        assert.deepStrictEqual([again.status, isReplay(again)], [202, true])
        assert.deepStrictEqual(yield* first.rows<Count>(count), [{ payments: 2 }])
      })
    )

    live("makes no second payment while Redis is away, and asks it again when it is back", () =>
      Effect.gen(function* () {
        const redis = yield* behind(inject("redisUrl"))
        const env = { REDIS_URL: redis.url, API_PUBLISH_TIMEOUT_SECONDS: "20" }
        const { ask, rows } = yield* Payments.start({ runtime, env })
        const key = randomUUID()
        const first = yield* ask(Payments.body(), key)
        assert.isTrue(isReplay(yield* ask(Payments.body(), key)))
        const others = Array.from({ length: 5 }, () => randomUUID())
        for (const fault of [redis.proxy.cut, redis.proxy.freeze]) {
          yield* fault
          const again = yield* ask(Payments.body(), key)
          assert.deepStrictEqual([again.status, again.text, isReplay(again)], [202, first.text, true])
          const many = others.flatMap((other) => [other, other, other, other])
          const given = yield* Effect.forEach(many, (other) => ask(Payments.body(), other), { concurrency: 20 })
          assert.deepStrictEqual([...new Set(given.map(({ status }) => status))], [202])
          yield* redis.proxy.heal
        }
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 6 }])
        yield* eventually(
          Effect.map(ask(Payments.body("pm_other"), key), ({ status }) => assert.strictEqual(status, 422)),
          { deadline: "20 seconds", every: "200 millis" }
        )
      })
    )

    live("says 409 while the first request is under way", () =>
      Effect.gen(function* () {
        const { ask, stage } = yield* Payments.start({ runtime })
        yield* ask(Payments.body())
        const lock = yield* TableLock.hold(stage.databaseUrl, "payment_intents")
        const held = yield* Effect.forkChild(ask(Payments.body(), "k"))
        yield* lock.isWaitedFor
        const second = yield* ask(Payments.body(), "k")
        assert.deepStrictEqual([second.status, typeOf(second)], [409, "request-under-way"])
        assert.isAbove(Number(second.headers.get("retry-after")), 0)
        yield* lock.release
        assert.strictEqual((yield* Fiber.join(held)).status, 202)
        assert.isTrue(isReplay(yield* ask(Payments.body(), "k")))
      })
    )

    live("says 503 within its time while the database is away, and takes the same request afterwards", () =>
      Effect.gen(function* () {
        const env = { API_PUBLISH_TIMEOUT_SECONDS: "2" }
        const stage = yield* Stage.make
        const database = yield* behind(stage.databaseUrl)
        const behindIt = { ...stage, databaseUrl: database.url }
        const { ask, rows, url } = yield* Payments.start({ runtime, env, stage: behindIt })
        const warm = yield* eventually(
          Effect.tap(ask(Payments.body(), "warm"), ({ status, text }) =>
            Effect.sync(() => assert.strictEqual(status, 202, text))
          ),
          { deadline: "60 seconds", every: "200 millis" }
        )
        const { id } = Payments.told(warm)
        let payments = 1
        for (const fault of [database.proxy.freeze, database.proxy.cut]) {
          yield* fault
          const key = randomUUID()
          for (const send of [ask(Payments.body(), key), Api.ask(`${url}/payments/${id}`)]) {
            const answer = yield* Effect.timeout(send, "20 seconds")
            assert.deepStrictEqual([answer.status, typeOf(answer)], [503, "unavailable"])
            assert.isAbove(Number(answer.headers.get("retry-after")), 0)
            assert.notInclude(answer.text, "127.0.0.1")
          }
          yield* database.proxy.heal
          yield* eventually(
            Effect.map(ask(Payments.body(), key), ({ status }) => assert.strictEqual(status, 202)),
            { deadline: "60 seconds", every: "200 millis" }
          )
          payments++
        }
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments }])
      })
    )

    live("answers what it does not do with a problem that says why, and stores nothing", () =>
      Effect.gen(function* () {
        const { ask, rows, url } = yield* Payments.start({ runtime, env: { MAX_BODY_BYTES: "10000" } })
        const unknown = `${url}/payments/${randomUUID()}`
        const answers: ReadonlyArray<readonly [status: number, type: string, answer: Effect.Effect<Api.Answer>]> = [
          [400, "missing-idempotency-key", Api.post(`${url}/payments`, Payments.body())],
          [400, "invalid-idempotency-key", ask(Payments.body(), "a b")],
          [400, "not-json", ask("{")],
          [400, "invalid-payment", ask("[]")],
          [400, "invalid-payment", ask(Payments.body("4111111111111111"))],
          [400, "invalid-payment", ask(Payments.body("pm_card_visa", { amount: "0" }))],
          [400, "invalid-payment", ask('{"amount":0.1000000000000000055,"paymentMethod":"pm_card_visa"}')],
          [400, "invalid-payment", ask(Payments.body("pm_card_visa", { currency: "JPY" }))],
          [400, "invalid-payment", ask(Payments.body("pm_card_visa", { orderId: "a b" }))],
          [400, "invalid-payment", Api.post(`${unknown}/refund`, '{"amount":"1.00"}')],
          [400, "invalid-payment", Api.post(`${url}/orders/a%20b/cancel`, "")],
          [404, "unknown-payment", Api.ask(unknown)],
          [404, "unknown-payment", Api.ask(`${url}/payments/%00`)],
          [404, "unknown-payment", Api.post(`${unknown}/refund`, "")],
          [404, "unknown-payment", Api.post(`${url}/payments/nobody/refund`, "{}")],
          [404, "not-found", Api.post(`${url}/webhooks/stripe`, "{}")],
          [405, "method-not-allowed", Api.ask(`${url}/payments`)],
          [413, "body-too-large", ask(`"${"a".repeat(10_000)}"`)]
        ]
        for (const [status, type, given] of answers) {
          const answer = yield* given
          assert.deepStrictEqual([answer.status, typeOf(answer)], [status, type])
        }
        const { errors } = JSON.parse((yield* ask('{"amount":"1.001","currency":"x"}')).text)
        assert.deepStrictEqual(errors.map(({ path }: { path: ReadonlyArray<string> }) => path.join(".")).sort(), [
          "amount",
          "currency",
          "paymentMethod"
        ])
        assert.deepStrictEqual(yield* rows<Count>(count), [{ payments: 0 }])
      })
    )

    live("describes in its OpenAPI document what it serves", () =>
      Effect.gen(function* () {
        const { url } = yield* Payments.start({ runtime, env: { STRIPE_WEBHOOK_SECRET: "whsec_test" } })
        const { paths } = JSON.parse((yield* Api.ask(`${url}/openapi.json`)).text)
        assert.includeMembers(Object.keys(paths), [
          "/payments",
          "/payments/{id}",
          "/payments/{id}/refund",
          "/orders/{orderId}/cancel",
          "/webhooks/stripe"
        ])
        const { parameters, responses } = paths["/payments"].post
        assert.includeMembers(Object.keys(responses), ["201", "202", "400", "401", "409", "413", "422", "429", "503"])
        assert.deepInclude(
          parameters.map(({ name, required }: { name: string; required: boolean }) => ({ name, required })),
          { name: "idempotency-key", required: true }
        )
        assert.isFalse(paths["/payments/{id}/refund"].post.requestBody.required)
        assert.deepStrictEqual(paths["/webhooks/stripe"].post.security ?? [], [])
      })
    )
  })
}
