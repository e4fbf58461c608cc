/** Every contestant has its turn in every round: A B A B …, so that what disturbs the machine disturbs all. */
import { Console, Effect } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import type { Runtime } from "../../test/support/servers/Program.ts"
import { attempt, BenchmarkError, check } from "../BenchmarkError.ts"
import { titleOf } from "../Contestant.ts"
import * as Services from "../worker/Services.ts"
import { type Contestant, launch } from "./Contestant.ts"
import * as Events from "./Events.ts"
import { latencies } from "./latency.ts"
import type { Testbed } from "./Testbed.ts"

/** What can be measured. */
export const parts = ["drain", "hot", "latency", "pending", "open"] as const
type Part = (typeof parts)[number]

export interface Plan {
  readonly events: number
  readonly keys: number
  readonly hotEvents: number
  readonly samples: number
  readonly pending: number
  readonly rounds: number
  readonly runtimes: ReadonlyArray<Runtime>
  readonly parts: ReadonlyArray<Part>
}

export interface Figures {
  readonly contestant: Contestant
  readonly drains: Array<number>
  readonly hot: Array<number>
  readonly few: Array<number>
  readonly many: Array<number>
  readonly besideOpen: Array<number>
  readonly latencies: Array<number>
}

/** Fewer than these are too few for a rate. */
const fewPending = 10_000
/** Of many pending events, so many are enough for a rate. */
const enough = 100_000

const writtenBy = (child: Child): string =>
  `having written:\n${[...child.stdout, ...child.stderr].slice(-20).join("\n")}`

/** Stops it, so that its last marks are made. */
const stop = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  yield* child.kill("SIGTERM")
  const code = yield* child.exit
  const isGood = code === 0 || (contestant.name === "bare" && code === 143)
  yield* check(isGood, `${titleOf(contestant)} ended with ${code}, ${writtenBy(child)}`)
})

/** Waits until it has published so many. */
const published = (testbed: Testbed, child: Child, count: number) =>
  Effect.mapError(
    Events.published(testbed, count, 60 + count / 200),
    ({ message }) => new BenchmarkError({ message: `${message}, the relay ${writtenBy(child)}` })
  )

/** Events per second of a full table. */
const drain = Effect.fnUntraced(function* (testbed: Testbed, contestant: Contestant, events: number, keys: number) {
  const place = yield* Events.fresh(testbed)
  yield* Events.commit(testbed, place, events, keys)
  const child = yield* launch(contestant, testbed, events)
  yield* published(testbed, child, events)
  yield* stop(contestant, child)
  yield* Events.checkExact(place, events)
  return yield* Events.rate(testbed, events)
}, Effect.scoped)

/** Events per second of the first of many that are pending. */
const firstOfMany = Effect.fnUntraced(function* (testbed: Testbed, contestant: Contestant, plan: Plan) {
  const wanted = Math.min(enough, plan.pending)
  const place = yield* Events.fresh(testbed)
  yield* Events.commit(testbed, place, plan.pending, plan.keys)
  const child = yield* launch(contestant, testbed, plan.pending)
  yield* published(testbed, child, wanted)
  yield* stop(contestant, child)
  return yield* Events.rate(testbed, wanted)
}, Effect.scoped)

const latencyOf = Effect.fnUntraced(function* (testbed: Testbed, contestant: Contestant, samples: number) {
  const place = yield* Events.fresh(testbed)
  const child = yield* launch(contestant, testbed, samples)
  yield* child
    .waitForLine(testbed.started)
    .pipe(Effect.mapError((cause) => new BenchmarkError({ message: "the relay does not start", cause })))
  const found = yield* latencies(testbed, place, samples)
  yield* stop(contestant, child)
  return found
}, Effect.scoped)

/**
 * Events per second of those that are committed while somebody else's transaction stays open: it is told in the log, and
 * its own event comes when it is committed, later.
 */
const besideOpen = Effect.fnUntraced(function* (testbed: Testbed, contestant: Contestant, plan: Plan) {
  const place = yield* Events.fresh(testbed)
  const stranger = yield* Services.client(testbed.databaseUrl)
  yield* attempt("leave a transaction open", async () => {
    await stranger.query("BEGIN")
    await stranger.query(`INSERT INTO outbox_events (topic, key, payload) VALUES ($1, 'open', '{"n": 1}')`, [
      place.topic
    ])
  })
  yield* Events.commit(testbed, place, fewPending, plan.keys)
  const child = yield* launch(contestant, testbed, fewPending, { OUTBOX_OPEN_TRANSACTION_SECONDS: "1" })
  yield* published(testbed, child, fewPending)
  yield* Effect.mapError(
    child.waitForLine(/a transaction on the outbox stays open/),
    (cause) => new BenchmarkError({ message: "a transaction stays open, and nobody tells of it", cause })
  )
  const rate = yield* Events.rate(testbed, fewPending)
  yield* attempt("commit at last", () => stranger.query("COMMIT"))
  yield* published(testbed, child, fewPending + 1)
  yield* stop(contestant, child)
  yield* Events.checkExact(place, fewPending + 1)
  return rate
}, Effect.scoped)

const round = Effect.fnUntraced(function* (testbed: Testbed, plan: Plan, own: Figures, number: number) {
  const { contestant } = own
  yield* Console.error(`bench: round ${number}, ${titleOf(contestant)}`)
  const isProduct = contestant.name === "product"
  if (plan.parts.includes("drain")) own.drains.push(yield* drain(testbed, contestant, plan.events, plan.keys))
  if (!isProduct) return
  if (plan.parts.includes("hot")) own.hot.push(yield* drain(testbed, contestant, plan.hotEvents, 1))
  if (plan.parts.includes("latency")) {
    own.latencies.push(...(yield* latencyOf(testbed, contestant, Math.ceil(plan.samples / plan.rounds))))
  }
  if (plan.parts.includes("open")) own.besideOpen.push(yield* besideOpen(testbed, contestant, plan))
  if (!plan.parts.includes("pending")) return
  own.few.push(yield* drain(testbed, contestant, fewPending, plan.keys))
  own.many.push(yield* firstOfMany(testbed, contestant, plan))
})

/** All figures of all contestants. */
export const measure = Effect.fnUntraced(function* (testbed: Testbed, plan: Plan) {
  const figures = plan.runtimes.flatMap((runtime) =>
    (["product", "bare"] as const).map(
      (name): Figures => ({
        contestant: { name, runtime },
        drains: [],
        hot: [],
        few: [],
        many: [],
        besideOpen: [],
        latencies: []
      })
    )
  )
  for (let number = 1; number <= plan.rounds; number++) {
    for (const own of figures) yield* round(testbed, plan, own, number)
  }
  return figures
})
