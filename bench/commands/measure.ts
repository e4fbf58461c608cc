/** What is measured: whole processes that take the same commands to the same tables. */
import { join } from "node:path"
import { Effect } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import * as Program from "../../test/support/servers/Program.ts"
import { check } from "../BenchmarkError.ts"
import * as beside from "../beside.ts"
import { type Contestant, titleOf } from "../Contestant.ts"
import type { Services } from "../worker/Services.ts"
import * as Payments from "./Payments.ts"

export interface Plan extends beside.Rounds {
  readonly payments: number
  /** Of the sandbox, in milliseconds. */
  readonly delay: ReadonlyArray<number>
}

/** Payments per second, one for each delay. */
export type Turn = ReadonlyArray<number>

const programs = {
  product: { args: ["--mode=commands"] },
  bare: { main: join(import.meta.dirname, "../reference/bareCommands.ts"), args: [] }
}

const launch = ({ name, runtime }: Contestant<beside.Name>, services: Services, delay: number) =>
  Program.start({
    ...programs[name],
    runtime,
    env: {
      RABBITMQ_URL: services.rabbitMqUrl,
      DATABASE_URL: services.databaseUrl,
      PAYMENT_GATEWAY: "sandbox",
      SANDBOX_DELAY_MILLIS: String(delay),
      HEALTH_PORT: "0"
    }
  })

/** Asked to stop, the product drains; the reference just ends. */
const stop = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  yield* child.kill("SIGTERM")
  const code = yield* child.exit
  const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
  const isGood = code === 0 || (contestant.name === "bare" && code === 143)
  yield* check(isGood, `${titleOf(contestant)} ended with ${code}, having written:\n${written}`)
})

const drain = Effect.fnUntraced(function* (
  services: Services,
  contestant: Contestant<beside.Name>,
  payments: number,
  delay: number
) {
  yield* Payments.fresh(services)
  yield* Payments.askFor(services, payments)
  const child = yield* launch(contestant, services, delay)
  yield* Payments.succeeded(services, payments, 60 + payments / 20)
  yield* stop(contestant, child)
  yield* Payments.checkExact(services, payments)
  return yield* Payments.rate(services)
}, Effect.scoped)

/** All figures of all contestants. */
export const measure = (services: Services, plan: Plan) =>
  beside.inTurn(
    plan,
    (contestant): Effect.Effect<Turn, Effect.Error<ReturnType<typeof drain>>> =>
      Effect.forEach(plan.delay, (delay) => drain(services, contestant, plan.payments, delay)),
    (turn) => plan.delay.map((delay, place) => `${Math.round(turn[place] ?? 0)}/s at ${delay} ms`).join(", ")
  )
