/** Credentials that the payment provider refuses, as in a rotation that went wrong: nobody's payment fails for it. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as Api from "../support/Api.ts"
import * as PaymentBooks from "../support/PaymentBooks.ts"
import * as Payments from "../support/Payments.ts"
import * as Town from "../support/PaymentTown.ts"
import * as Queues from "../support/Queues.ts"
import { runtimes } from "../support/Stage.ts"
import { eventually } from "../support/servers/eventually.ts"

const wrong = { STRIPE_API_KEY: "sk_live_hunter2" }

/** The dead commands of these payments; those of another town may lie beside them. */
const deadCommands = ({ ground }: Town.Town, ids: ReadonlyArray<string>) =>
  Effect.map(Queues.takeAll(ground.brokerUrl, `${Town.commandQueue}.dlq`), (letters) =>
    letters.filter(({ content }) => ids.some((id) => content.includes(id)))
  )

layer(Town.servers, { excludeTestServices: true, timeout: "90 seconds" })("credentials that are refused", (it) => {
  for (const runtime of runtimes) {
    it.effect(
      `end --mode=commands with exit 3, and its payments go on with better ones (${runtime})`,
      () =>
        Effect.gen(function* () {
          const town = yield* Town.make
          const commands = yield* Town.startReady(town, "commands", runtime, wrong)
          const relay = yield* Town.start(town, "outbox", runtime)
          const api = yield* Town.start(town, "api", runtime)
          const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`)
          const ids = yield* Effect.forEach(keys, (key) => Town.ask(town, { key, method: "pm_card_visa" }), {
            concurrency: "unbounded"
          })
          assert.strictEqual(yield* commands.exit, 3, commands.stderr.join("\n"))
          const written = [...commands.stdout, ...commands.stderr].join("\n")
          assert.include(commands.stderr.join("\n"), "STRIPE_API_KEY")
          assert.notInclude(written, "hunter2")
          // it is not taken up again in a loop of restarts either
          const again = yield* Town.start(town, "commands", runtime, wrong)
          assert.strictEqual(yield* again.exit, 3)
          assert.strictEqual(yield* Town.unfinished(town), 20)
          assert.deepStrictEqual(yield* deadCommands(town, ids), [])

          const better = yield* Town.start(town, "commands", runtime)
          const payments = yield* PaymentBooks.check(town, ids)
          assert.deepStrictEqual([...new Set(payments.map(({ status }) => status))], ["succeeded"])
          yield* Effect.forEach([better, relay, api], Town.stop, { concurrency: "unbounded" })
        }).pipe(Effect.scoped),
      { timeout: 300_000 }
    )

    it.effect(
      `are a 503 of an API that processes within the request, which goes on and keeps the payment (${runtime})`,
      () =>
        Effect.gen(function* () {
          const town = yield* Town.make
          const url = `http://127.0.0.1:${town.ports[0]}`
          const env = { ENABLE_ASYNC_COMMANDS: "false", API_PAYMENT_TIMEOUT_SECONDS: "60" }
          const relay = yield* Town.start(town, "outbox", runtime)
          const api = yield* Town.startReady(town, "api", runtime, { ...env, ...wrong })
          const post = Api.post(`${url}/payments`, Payments.body(), { "idempotency-key": randomUUID() })
          const refused = yield* eventually(
            Effect.tap(post, ({ status, text }) => Effect.sync(() => assert.strictEqual(status, 503, text))),
            { deadline: "60 seconds", every: "200 millis" }
          )
          assert.include(refused.text, "the payment provider cannot be used now")
          const [payment] = yield* Town.sql<{ id: string }>(town, "SELECT id::text FROM payment_intents")
          const id = payment?.id ?? ""
          const found = yield* Api.ask(`${url}/payments/${id}`)
          assert.deepStrictEqual([found.status, Payments.told(found).status], [200, "processing"])
          yield* api.waitForLine(/the payment provider does not let us in/)
          yield* Town.stop(api)

          const better = yield* Town.startReady(town, "api", runtime, env)
          yield* PaymentBooks.check(town, [id])
          const replayed = yield* eventually(
            Effect.tap(post, ({ status, text }) => Effect.sync(() => assert.strictEqual(status, 201, text))),
            { deadline: "60 seconds", every: "200 millis" }
          )
          assert.deepStrictEqual([Payments.told(replayed).id, Payments.told(replayed).status], [id, "succeeded"])
          yield* Effect.forEach([better, relay], Town.stop, { concurrency: "unbounded" })
        }).pipe(Effect.scoped),
      { timeout: 300_000 }
    )
  }
})
