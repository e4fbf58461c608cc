/** Every part of the product in one process. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Api from "../support/Api.ts"
import * as HealthPages from "../support/HealthPages.ts"
import * as Lines from "../support/Lines.ts"
import * as Stage from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import * as Program from "../support/servers/Program.ts"
import { takenPort } from "../support/servers/takenPort.ts"
import { temporaryFolder } from "../support/servers/temporaryFolder.ts"

const deadline = { deadline: "60 seconds", every: "100 millis" } as const

interface StartOptions {
  readonly runtime: Program.Runtime
  readonly env?: Readonly<Record<string, string>>
}

/** All of it on the embedded services, ready. */
const start = Effect.fnUntraced(function* ({ env, runtime }: StartOptions) {
  const [port, health] = [yield* freePort, yield* freePort]
  const child = yield* Program.start({
    runtime,
    args: ["--mode=all"],
    env: {
      BROKER: "embedded",
      DATABASE: "embedded",
      PAYSTREAM_DATA: yield* temporaryFolder("data"),
      PAYMENT_GATEWAY: "sandbox",
      PORT: `${port}`,
      API_HOST: "127.0.0.1",
      HEALTH_PORT: `${health}`,
      ...env
    }
  })
  return { child, health, url: `http://127.0.0.1:${port}` }
})

const statusOf = (url: string) =>
  Effect.map(Api.ask(url), ({ status, text }) => (status === 200 ? JSON.parse(text).status : status))

const payment = '{"amount": "100.00", "currency": "BRL", "paymentMethod": "pm_card_visa"}'

const lineOf = (lines: ReadonlyArray<string>, message: string) =>
  JSON.parse(lines.find((line) => line.includes(`"message":"${message}"`)) ?? "{}").annotations

describe.concurrent("--mode=all", () => {
  for (const runtime of Stage.runtimes) {
    it.live(
      `takes payments through API, outbox, commands and workers in one process, and drains as one (${runtime})`,
      () =>
        Effect.gen(function* () {
          const { child, health, url } = yield* start({ runtime })
          yield* HealthPages.waitForStatus(health, "/readyz", 200)
          const ready = JSON.parse((yield* HealthPages.page(health, "/readyz")).text)
          assert.deepInclude(ready, { broker: "connected", database: "connected", embedded: "connected" })
          // a card
          const taken = yield* Api.post(`${url}/payments`, payment, { "idempotency-key": "order-1" })
          assert.strictEqual(taken.status, 202)
          const location = `${url}${taken.headers.get("location")}`
          yield* eventually(
            Effect.map(statusOf(location), (status) => assert.strictEqual(status, "succeeded")),
            deadline
          )
          // and a PIX payment
          assert.strictEqual((yield* Api.post(`${url}/embedded`, Api.request("tx-1"))).status, 200)
          yield* eventually(
            Effect.map(statusOf(`${url}/pix/tx-1`), (status) => assert.strictEqual(status, "pix.notification.sent")),
            deadline
          )
          yield* child.kill("SIGTERM")
          assert.strictEqual(yield* child.exit, 0)
          assert.deepStrictEqual(child.stderr, [])
          // one first line for all of them, and one wish to stop
          assert.strictEqual(Lines.count(child, '"starting"'), 1)
          assert.strictEqual(Lines.count(child, "stopping"), 1)
          assert.deepInclude(lineOf(child.stdout, "starting"), {
            PAYMENT_GATEWAY: "sandbox",
            queue: "payments",
            workers: "pix-audit, pix-close, pix-notify, pix-settle, pix-validate"
          })
        })
    )

    it.live(`names the wrong settings of all parts at once, each once, and starts nothing (${runtime})`, () =>
      Effect.gen(function* () {
        const env = { PORT: "none", BATCH_SIZE: "0", OUTBOX_LEASE_SECONDS: "-1", DATABASE: "none", PAYMENT_GATEWAY: "" }
        const { child } = yield* start({ runtime, env })
        assert.strictEqual(yield* child.exit, 2)
        const told = child.stderr.join("\n")
        for (const name of ["PORT", "BATCH_SIZE", "OUTBOX_LEASE_SECONDS", "DATABASE", "PAYMENT_GATEWAY"]) {
          assert.strictEqual(told.match(new RegExp(`^  ${name}: got`, "gm"))?.length, 1, `${name} in ${told}`)
        }
        assert.deepStrictEqual(child.stdout, [])
      })
    )
  }

  it.live("ends with the exit code of the part that has failed, once the others have finished", () =>
    Effect.gen(function* () {
      const { child } = yield* start({ runtime: "bun", env: { PORT: `${yield* takenPort}` } })
      assert.strictEqual(yield* child.exit, 2)
      assert.match(child.stderr.join("\n"), /PORT: port \d+ is taken by another program/)
      assert.strictEqual(Lines.count(child, "api has failed, and ends the others"), 1)
      // the outbox and the worker said what they had done
      assert.strictEqual(Lines.count(child, '"done"'), 2)
    })
  )

  it.live("ends when a part of it is done, and leaves out on Kafka who needs queues", () =>
    Effect.gen(function* () {
      const { child } = yield* start({ runtime: "bun", env: { IDLE_TIMEOUT_SECONDS: "0.5" } })
      assert.strictEqual(yield* child.exit, 0)
      const kafka = yield* start({
        runtime: "node",
        env: { BROKER: "kafka", KAFKA_BROKERS: `127.0.0.1:${yield* freePort}` }
      })
      yield* kafka.child.waitForLine(/"starting"/)
      assert.deepInclude(lineOf(kafka.child.stdout, "starting"), { leftOut: "worker: Kafka has no queues" })
      yield* kafka.child.kill("SIGTERM")
      assert.strictEqual(yield* kafka.child.exit, 0)
    })
  )
})
