/** Every contestant has its turn in every round: A B A B …, so that what disturbs the machine disturbs all. */
import { Console, Effect } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import type { Runtime } from "../../test/support/servers/Program.ts"
import { BenchmarkError, check } from "../BenchmarkError.ts"
import type { Services } from "../worker/Services.ts"
import { type Contestant, launch, titleOf } from "./Contestant.ts"
import * as Events from "./Events.ts"
import { latencies } from "./latency.ts"

export interface Plan {
  readonly events: number
  readonly keys: number
  readonly hotEvents: number
  readonly samples: number
  readonly pending: number
  readonly rounds: number
  readonly runtimes: ReadonlyArray<Runtime>
  readonly parts: ReadonlyArray<"drain" | "hot" | "latency" | "pending">
}

export interface Figures {
  readonly contestant: Contestant
  readonly drains: Array<number>
  readonly hot: Array<number>
  readonly few: Array<number>
  readonly many: Array<number>
  readonly latencies: Array<number>
}

/** Fewer than these are too few for a rate. */
const fewPending = 10_000
/** Of many pending events, so many are enough for a rate. */
const enough = 100_000

/** Stops it, so that its last marks are made. */
const stop = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  yield* child.kill("SIGTERM")
  const code = yield* child.exit
  const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
  const isGood = code === 0 || (contestant.name === "bare" && code === 143)
  yield* check(isGood, `${titleOf(contestant)} ended with ${code}, having written:\n${written}`)
})

/** Events per second of a full table. */
const drain = Effect.fnUntraced(function* (services: Services, contestant: Contestant, events: number, keys: number) {
  yield* Events.fresh(services)
  yield* Events.commit(services, events, keys)
  const child = yield* launch(contestant, services, events)
  yield* Events.published(services, events, 60 + events / 200)
  yield* stop(contestant, child)
  yield* Events.checkExact(services, events)
  return yield* Events.rate(services, events)
}, Effect.scoped)

/** Events per second of the first of many that are pending. */
const firstOfMany = Effect.fnUntraced(function* (services: Services, contestant: Contestant, plan: Plan) {
  const wanted = Math.min(enough, plan.pending)
  yield* Events.fresh(services)
  yield* Events.commit(services, plan.pending, plan.keys)
  const child = yield* launch(contestant, services, plan.pending)
  yield* Events.published(services, wanted, 60 + wanted / 200)
  yield* stop(contestant, child)
  return yield* Events.rate(services, wanted)
}, Effect.scoped)

const latencyOf = Effect.fnUntraced(function* (services: Services, contestant: Contestant, samples: number) {
  yield* Events.fresh(services)
  const child = yield* launch(contestant, services, samples)
  yield* child
    .waitForLine(/"connected to RabbitMQ"/)
    .pipe(Effect.mapError((cause) => new BenchmarkError({ message: "the relay does not start", cause })))
  const found = yield* latencies(services, samples)
  yield* stop(contestant, child)
  return found
}, Effect.scoped)

const round = Effect.fnUntraced(function* (services: Services, plan: Plan, own: Figures, number: number) {
  const { contestant } = own
  yield* Console.error(`bench: round ${number}, ${titleOf(contestant)}`)
  const isProduct = contestant.name === "product"
  if (plan.parts.includes("drain")) own.drains.push(yield* drain(services, contestant, plan.events, plan.keys))
  if (!isProduct) return
  if (plan.parts.includes("hot")) own.hot.push(yield* drain(services, contestant, plan.hotEvents, 1))
  if (plan.parts.includes("latency")) {
    own.latencies.push(...(yield* latencyOf(services, contestant, Math.ceil(plan.samples / plan.rounds))))
  }
  if (!plan.parts.includes("pending")) return
  own.few.push(yield* drain(services, contestant, fewPending, plan.keys))
  own.many.push(yield* firstOfMany(services, contestant, plan))
})

/** All figures of all contestants. */
export const measure = Effect.fnUntraced(function* (services: Services, plan: Plan) {
  const figures = plan.runtimes.flatMap((runtime) =>
    (["product", "bare"] as const).map(
      (name): Figures => ({ contestant: { name, runtime }, drains: [], hot: [], few: [], many: [], latencies: [] })
    )
  )
  for (let number = 1; number <= plan.rounds; number++) {
    for (const own of figures) yield* round(services, plan, own, number)
  }
  return figures
})
