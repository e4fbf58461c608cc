/** The HTTP API as clients see it, in front of a real RabbitMQ and a real PostgreSQL. */
import { randomUUID } from "node:crypto"
import { connect } from "node:net"
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Api from "../support/Api.ts"
import { behind } from "../support/Behind.ts"
import { inTurn } from "../support/inTurn.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as TableLock from "../support/TableLock.ts"

/** An API with an exchange of its own, and what was published there. */
const staged = (options: Api.ApiOptions, change: (stage: Stage.Stage) => Partial<Stage.Stage> = () => ({})) =>
  Effect.gen(function* () {
    const stage = yield* Stage.make
    const exchange = yield* Api.exchange(stage.brokerUrl)
    const env = { RABBITMQ_EXCHANGE: exchange.name, ...options.env }
    const { child, url } = yield* Api.start({ ...stage, ...change(stage) }, { ...options, env })
    return { stage, child, url: `${url}/rabbit`, base: url, published: Queues.takeAll(stage.brokerUrl, exchange.queue) }
  })

const problemOf = ({ headers, text }: Api.Answer) => {
  assert.strictEqual(headers.get("content-type"), "application/problem+json")
  return JSON.parse(text)
}

/** What a server does with bytes that are not yet a request. */
const sendSlowly = (base: string, bytes: string) =>
  Effect.callback<string>((resume) => {
    const { hostname, port } = new URL(base)
    let answer = ""
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    socket.setEncoding("utf8").on("data", (text: string) => {
      answer += text
    })
    socket.on("error", () => undefined)
    socket.on("close", () => resume(Effect.succeed(answer)))
    return Effect.sync(() => socket.destroy())
  })

for (const runtime of Stage.runtimes) {
  const live = inTurn(runtime)
  describe.concurrent(`the API (${runtime})`, () => {
    live("publishes the value as it was received, with its key, an id of its own and the client's trace", () =>
      Effect.gen(function* () {
        const { child, published, url } = yield* staged({ runtime })
        yield* child.waitForLine(/API_KEYS is not set: everybody who reaches the API may use it/)
        const value =
          '{ "transactionId" : "tx-1",\n"amount": 0.10, "payer":"Ana", "receiver":"Bruno", "extra": 12345678901234567890.0 }'
        const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        const answer = yield* Api.post(url, `{"value":${value}}`, { traceparent })
        assert.deepStrictEqual(
          [answer.status, JSON.parse(answer.text)],
          [200, { status: "Event sent to RabbitMQ", topic: "pix.payment.requested" }]
        )
        yield* Api.post(url.replace("/rabbit", "/pix/rabbit"), `{"value":${value}}`)
        const [first, second] = yield* published
        assert.strictEqual(first?.content.toString(), value)
        assert.strictEqual(first?.fields.routingKey, "pix.payment.requested")
        assert.deepInclude(first?.properties.headers, { key: "tx-1", version: "1", traceparent })
        assert.match(first?.properties.messageId, /^tx-1\/[0-9a-f]{40}$/)
        assert.strictEqual(second?.properties.messageId, first?.properties.messageId)
      })
    )

    live("answers what it does not do with a problem that says why, and publishes nothing", () =>
      Effect.gen(function* () {
        const { base, published, url } = yield* staged({
          runtime,
          env: { MAX_BODY_BYTES: "10000", API_REQUEST_TIMEOUT_SECONDS: "1" }
        })
        const answers: ReadonlyArray<readonly [status: number, type: string, answer: Effect.Effect<Api.Answer>]> = [
          [400, "not-json", Api.post(url, "{")],
          [400, "not-json", Api.post(url, "")],
          [400, "not-json", Api.ask(url, { method: "POST", body: Uint8Array.from([34, 255, 34]) })],
          [400, "invalid-event", Api.post(url, "[]")],
          [400, "invalid-event", Api.post(url, "{}")],
          [400, "invalid-event", Api.post(url, Api.request("t").replace("requested", "unknown"))],
          [400, "invalid-event", Api.post(url, Api.request("t", "0"))],
          [400, "invalid-event", Api.post(url, Api.request("t", "0.1000000000000000055"))],
          [400, "invalid-idempotency-key", Api.post(url, Api.request(), { "idempotency-key": "a b" })],
          [404, "not-found", Api.ask(`${base}/nothing`)],
          [404, "not-found", Api.post(`${base}/kafka`, Api.request())],
          [404, "not-found", Api.ask(`${base}/pix/%ff`)],
          [404, "unknown-transaction", Api.ask(`${base}/pix/unknown`)],
          [404, "unknown-transaction", Api.ask(`${base}/pix/%00`)],
          [404, "unknown-transaction", Api.ask(`${base}/pix/${"a".repeat(5000)}`)],
          [405, "method-not-allowed", Api.ask(url)],
          [405, "method-not-allowed", Api.ask(`${base}/pix/unknown`, { method: "DELETE" })],
          [413, "body-too-large", Api.post(url, `"${"a".repeat(10_000)}"`)]
        ]
        for (const [status, type, given] of answers) {
          const answer = yield* given
          const problem = problemOf(answer)
          assert.deepStrictEqual(
            [answer.status, problem.status, problem.type],
            [status, status, `urn:paystream:problem:${type}`]
          )
        }
        assert.strictEqual((yield* Api.ask(url)).headers.get("allow"), "POST")
        const flaws = problemOf(
          yield* Api.post(url, '{"value":{"transactionId":"a/b","amount":"1.001","payer":""}}')
        ).errors
        assert.deepStrictEqual(flaws.map(({ path }: { path: ReadonlyArray<string> }) => path.join(".")).sort(), [
          "value.amount",
          "value.payer",
          "value.receiver",
          "value.transactionId"
        ])
        const late = yield* sendSlowly(base, "POST /rabbit HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert.match(late, /^HTTP\/1.1 408 /)
        const unending = `POST /rabbit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n${"a".repeat(0x4000)}\r\n`
        assert.match(yield* sendSlowly(base, unending), /^HTTP\/1.1 413 /)
        assert.notMatch(yield* sendSlowly(base, "POST /rabbit HTTP/1.1\r\nHo"), /^HTTP\/1.1 200 /)
        assert.deepStrictEqual(yield* published, [])
      })
    )

    live("publishes once for fifty equal requests with one Idempotency-Key, and gives them one answer", () =>
      Effect.gen(function* () {
        const { published, url } = yield* staged({ runtime })
        const body = Api.request()
        const send = (text = body, key = "k1") => Api.post(url, text, { "idempotency-key": key })
        const all = yield* Effect.forEach(Array.from({ length: 50 }), () => send(), { concurrency: 50 })
        assert.isTrue(all.every(({ status }) => status === 200 || status === 409))
        const first = all.filter(({ headers, status }) => status === 200 && !headers.has("idempotency-replayed"))
        assert.strictEqual(first.length, 1)
        const again = yield* send()
        assert.deepStrictEqual([again.status, again.headers.get("idempotency-replayed")], [200, "true"])
        assert.deepStrictEqual(JSON.parse(again.text), JSON.parse(first[0]?.text ?? ""))
        assert.strictEqual((yield* send(Api.request())).status, 422)
        assert.strictEqual((yield* published).length, 1)
        assert.strictEqual((yield* send(body, "k2")).status, 200)
        assert.strictEqual((yield* published).length, 1)
      })
    )

    live("lets in who has a key, as often as it may, and shows its documentation to everybody", () =>
      Effect.gen(function* () {
        const { base, url } = yield* staged({ runtime, env: { API_KEYS: "first,second", API_RATE_LIMIT: "3" } })
        const without = yield* Api.post(url, Api.request())
        assert.deepStrictEqual([without.status, without.headers.get("www-authenticate")], [401, "Bearer"])
        assert.strictEqual(problemOf(without).type, "urn:paystream:problem:unauthorized")
        assert.strictEqual((yield* Api.post(url, Api.request(), { "x-api-key": "firs" })).status, 401)
        assert.strictEqual((yield* Api.ask(`${base}/pix/a`)).status, 401)
        for (const path of ["/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"]) {
          assert.strictEqual((yield* Api.ask(`${base}${path}`)).status, 200, path)
        }
        const body = Api.request()
        const [one, other] = [{ authorization: "bearer first" }, { "x-api-key": "second" }]
        assert.strictEqual((yield* Api.post(url, body, { ...one, "idempotency-key": "k" })).status, 200)
        const others = yield* Api.post(url, Api.request(), { ...other, "idempotency-key": "k" })
        assert.deepStrictEqual([others.status, others.headers.get("idempotency-replayed")], [200, null])
        const send = (key: string) => Api.post(url, body, { ...one, "idempotency-key": key })
        const keys = Array.from({ length: 20 }, (_, n) => `many-${n}`)
        const many = yield* Effect.forEach(keys, send, { concurrency: 20 })
        const refused = many.findIndex(({ status }) => status === 429)
        assert.isAbove(Number(many[refused]?.headers.get("retry-after")), 0)
        // what was refused is done when it is asked for again, and only then kept
        const again = Effect.tap(send(`many-${refused}`), ({ status }) =>
          Effect.sync(() => assert.strictEqual(status, 200))
        )
        for (const replayed of [null, "true"]) {
          const answer = yield* eventually(again, { deadline: "20 seconds", every: "100 millis" })
          assert.strictEqual(answer.headers.get("idempotency-replayed"), replayed)
        }
      })
    )

    live("says 503 within its time while the broker is away, and takes the same request afterwards", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const broker = yield* behind(stage.brokerUrl)
        const env = { API_PUBLISH_TIMEOUT_SECONDS: "1" }
        const { base, published, url } = yield* staged({ runtime, env }, () => ({ brokerUrl: broker.url }))
        for (const fault of [broker.proxy.freeze, broker.proxy.cut]) {
          yield* fault
          const key = randomUUID()
          const send = Api.post(url, Api.request(key), { "idempotency-key": key })
          const answer = yield* Effect.timeout(send, "20 seconds")
          assert.strictEqual(answer.status, 503)
          assert.isAbove(Number(answer.headers.get("retry-after")), 0)
          yield* broker.proxy.heal
          const later = yield* eventually(
            Effect.tap(send, ({ status }) => Effect.sync(() => assert.strictEqual(status, 200))),
            { deadline: "30 seconds", every: "100 millis" }
          )
          assert.isFalse(later.headers.has("idempotency-replayed"))
          const keys = (yield* published).map(({ properties }) => properties.headers?.key)
          assert.include(keys, key)
        }
        yield* broker.proxy.cut
        yield* eventually(
          Effect.map(Api.ask(`${base}/readyz`), ({ status }) => assert.strictEqual(status, 503)),
          { deadline: "20 seconds", every: "100 millis" }
        )
      })
    )

    live("starts without its broker, and serves when it is there", () =>
      Effect.gen(function* () {
        const stage = yield* Stage.make
        const broker = yield* behind(stage.brokerUrl)
        yield* broker.proxy.cut
        const { base, url } = yield* staged({ runtime, isAway: true }, () => ({ brokerUrl: broker.url }))
        assert.strictEqual((yield* Api.post(url, Api.request())).status, 503)
        assert.strictEqual((yield* Api.ask(`${base}/readyz`)).status, 503)
        yield* broker.proxy.heal
        yield* eventually(
          Effect.map(Api.ask(`${base}/readyz`), ({ status }) => assert.strictEqual(status, 200)),
          { deadline: "20 seconds", every: "100 millis" }
        )
        assert.strictEqual((yield* Api.post(url, Api.request())).status, 200)
      })
    )

    live("needs the database for keys and histories only", () =>
      Effect.gen(function* () {
        const nowhere = { DATABASE_URL: "postgresql://a:b@127.0.0.1:1/none" }
        const { base, url } = yield* staged({ runtime, env: nowhere })
        assert.strictEqual((yield* Api.post(url, Api.request())).status, 200)
        for (const answer of [Api.post(url, Api.request(), { "idempotency-key": "k" }), Api.ask(`${base}/pix/a`)]) {
          const given = yield* answer
          assert.strictEqual(given.status, 503)
          assert.isTrue(given.headers.has("retry-after"))
          assert.notInclude(given.text, "127.0.0.1")
        }
      })
    )

    live("finishes what is in flight when it is asked to stop, and accepts nothing new", () =>
      Effect.gen(function* () {
        const { child, published, stage, url } = yield* staged({ runtime })
        yield* Api.post(url, Api.request(), { "idempotency-key": "warm" })
        const lock = yield* TableLock.hold(stage.databaseUrl, "idempotency_keys")
        const inFlight = yield* Effect.forkChild(Api.post(url, Api.request("held"), { "idempotency-key": "held" }))
        yield* lock.isWaitedFor
        yield* child.kill("SIGTERM")
        yield* child.waitForLine(/stopping/)
        yield* eventually(
          Effect.map(Effect.exit(Effect.tryPromise(() => fetch(url))), ({ _tag }) =>
            assert.strictEqual(_tag, "Failure")
          ),
          { deadline: "30 seconds", every: "20 millis" }
        )
        yield* lock.release
        assert.strictEqual((yield* Fiber.join(inFlight)).status, 200)
        assert.strictEqual(yield* child.exit, 0)
        assert.include(
          (yield* published).map(({ properties }) => properties.headers?.key),
          "held"
        )
      })
    )

    live("describes in its OpenAPI document what it serves", () =>
      Effect.gen(function* () {
        const { base } = yield* staged({ runtime })
        const text = (yield* Api.ask(`${base}/openapi.json`)).text
        const document = JSON.parse(text)
        assert.match(document.openapi, /^3\.1\./)
        assert.deepStrictEqual(Object.keys(document.paths).sort(), [
          "/healthz",
          "/metrics",
          "/orders/{orderId}/cancel",
          "/payments",
          "/payments/{id}",
          "/payments/{id}/refund",
          "/pix/rabbit",
          "/pix/{transactionId}",
          "/rabbit",
          "/readyz"
        ])
        for (const [, pointer = ""] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
          const found = pointer.split("/").reduce((value, name) => value?.[name.replaceAll("~1", "/")], document)
          assert.isDefined(found, pointer)
        }
        const statuses = Object.keys(document.paths["/rabbit"].post.responses)
        assert.includeMembers(statuses, ["200", "400", "401", "409", "413", "422", "429", "503"])
        assert.match((yield* Api.ask(`${base}/docs`)).text, /<html/)
        yield* Api.post(`${base}/rabbit`, "{")
        assert.match(
          (yield* Api.ask(`${base}/metrics`)).text,
          /paystream_http_requests_total\{[^}]*route="\/rabbit"[^}]*\} 1/
        )
      })
    )
  })
}
