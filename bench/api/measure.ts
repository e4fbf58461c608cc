/** One turn under load, and what it must have left behind. */
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { Duration, Effect } from "effect"
import { eventually } from "../../test/support/servers/eventually.ts"
import { freePort } from "../../test/support/servers/freePort.ts"
import * as Program from "../../test/support/servers/Program.ts"
import { attempt, BenchmarkError, check } from "../BenchmarkError.ts"
import { inTurn, type Name, type Rounds } from "../beside.ts"
import { type Contestant, ended, titleOf } from "../Contestant.ts"
import { quantile } from "../statistics.ts"
import { number } from "../table.ts"
import type { Services } from "../worker/Services.ts"
import type { Found } from "./load.ts"

export interface Plan extends Rounds {
  readonly connections: number
  readonly seconds: number
}

/** What one turn of a contestant gave. */
export interface Turn {
  readonly requestsPerSecond: number
  readonly latencies: ReadonlyArray<number>
}

/** Every contestant, round by round. */
export const measure = (services: Services, plan: Plan) =>
  inTurn(
    plan,
    (contestant) => underLoad(services, plan, contestant),
    ({ latencies, requestsPerSecond }) =>
      `${number(requestsPerSecond)} requests/s, p99 ${number(quantile(latencies, 0.99), 1)} ms`
  )

const programs = {
  product: { args: ["--mode=api"] },
  bare: { main: join(import.meta.dirname, "../reference/api.ts"), args: [] }
}

/** Serves, takes the load, and checks that the broker has as many messages as were accepted. */
const underLoad = Effect.fnUntraced(function* (services: Services, plan: Plan, contestant: Contestant<Name>) {
  const { exchange, queue } = yield* freshQueue(services)
  const port = yield* freePort
  const env = {
    RABBITMQ_URL: services.rabbitMqUrl,
    RABBITMQ_EXCHANGE: exchange,
    DATABASE_URL: services.databaseUrl,
    API_BROKERS: "rabbitmq",
    API_HOST: "127.0.0.1",
    PORT: String(port)
  }
  const { runtime } = contestant
  const server = yield* Program.start({ ...programs[contestant.name], runtime, env })
  const target = `http://127.0.0.1:${port}/rabbit`
  yield* eventually(
    // No event: the answer costs no message.
    attempt("wait for the server", () => fetch(target, { method: "POST", body: "{}" })),
    { deadline: "20 seconds" }
  )
  const found = yield* load(plan, target)
  yield* server.kill("SIGTERM")
  yield* ended(contestant, server)
  const title = titleOf(contestant)
  const others = JSON.stringify(found.otherAnswers)
  yield* check(others === "{}", `${title} gave other answers than 200: ${others}`)
  const { messageCount } = yield* attempt("count the messages", () => services.confirmed.checkQueue(queue))
  const problem = `${title} accepted ${found.accepted} requests, and the broker holds ${messageCount} messages`
  yield* check(messageCount === found.accepted, problem)
  return { requestsPerSecond: found.requestsPerSecond, latencies: found.latencies } satisfies Turn
}, Effect.scoped)

const freshQueue = ({ confirmed }: Services) =>
  Effect.acquireRelease(
    attempt("make an exchange and a queue", async () => {
      const name = `bench-${randomUUID()}`
      await confirmed.assertExchange(name, "topic", { durable: true })
      await confirmed.assertQueue(name, { durable: true })
      await confirmed.bindQueue(name, name, "#")
      return { exchange: name, queue: name }
    }),
    ({ exchange, queue }) =>
      Effect.ignore(
        attempt("delete the exchange and the queue", async () => {
          await confirmed.deleteQueue(queue)
          await confirmed.deleteExchange(exchange)
        })
      )
  )

const warmUpSeconds = 2

/** The clients run on the same runtime whoever serves. */
const load = Effect.fnUntraced(function* ({ connections, seconds }: Plan, target: string) {
  const clients = yield* Program.start({
    runtime: "node",
    main: join(import.meta.dirname, "load.ts"),
    args: [],
    env: {
      TARGET: target,
      CONNECTIONS: String(connections),
      WARM_UP_SECONDS: String(warmUpSeconds),
      SECONDS: String(seconds)
    }
  })
  const code = yield* clients.exit.pipe(
    Effect.timeoutOrElse({
      duration: Duration.seconds(warmUpSeconds + seconds + 30),
      orElse: () => Effect.fail(new BenchmarkError({ message: "the clients do not come to an end" }))
    })
  )
  yield* check(code === 0, `the clients ended with ${code}: ${clients.stderr.join("\n")}`)
  return JSON.parse(clients.stdout.at(-1) ?? "") as Found
})
