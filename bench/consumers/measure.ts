/** One turn from topic to topic, and what it must have left behind. */
import { join } from "node:path"
import { Duration, Effect, Schedule } from "effect"
import type { Child } from "../../test/support/servers/Child.ts"
import * as Program from "../../test/support/servers/Program.ts"
import { BenchmarkError, check } from "../BenchmarkError.ts"
import { inTurn, type Name, type Rounds } from "../beside.ts"
import { type Contestant, ended, titleOf } from "../Contestant.ts"
import { processorMicros } from "../process.ts"
import { number } from "../table.ts"
import { problemOf } from "./orders.ts"
import type { Testbed, Topics } from "./Testbed.ts"

export const brokers = ["rabbitmq", "kafka", "embedded"] as const
export type BrokerKind = (typeof brokers)[number]

export interface Plan extends Rounds {
  readonly broker: BrokerKind
  readonly messages: number
}

/** What one turn of a contestant gave. */
export interface Pass {
  readonly messagesPerSecond: number
  /** Of the contestant's own process, in microseconds; NaN where the system does not tell. */
  readonly processorMicros: number
}

/** Every contestant, round by round. */
export const measure = (testbed: Testbed, plan: Plan) =>
  inTurn(
    plan,
    (contestant) => passThrough(testbed, plan, contestant),
    ({ messagesPerSecond, processorMicros }) =>
      `${number(messagesPerSecond)} messages/s, ${number(processorMicros)} µs each`
  )

const references: Record<BrokerKind, string> = {
  rabbitmq: "passThroughRabbitMq.ts",
  kafka: "passThroughKafka.ts",
  embedded: "passThroughEmbedded.ts"
}

const programOf = ({ name }: Contestant<Name>, broker: BrokerKind) =>
  name === "product"
    ? { args: ["--mode=consumers", `--workers=${join(import.meta.dirname, "passThrough.ts")}`] }
    : { main: join(import.meta.dirname, "../reference", references[broker]), args: [] }

/** Lets the contestant pass all inputs on, checks that it did so exactly, and says how fast. */
const passThrough = Effect.fnUntraced(function* (testbed: Testbed, plan: Plan, contestant: Contestant<Name>) {
  const topics = yield* testbed.fill(plan.messages)
  const { runtime } = contestant
  const env = { ...testbed.env, ...topics.env, HEALTH_PORT: "0" }
  const child = yield* Program.start({ ...programOf(contestant, plan.broker), runtime, env })
  const watched = watch({ topics, contestant, child, messages: plan.messages })
  const pass = yield* Effect.raceFirst(watched, endedEarly(contestant, child))
  yield* child.kill("SIGTERM")
  yield* ended(contestant, child)
  const unsettled = yield* topics.unsettled
  yield* check(unsettled === 0, `${titleOf(contestant)} left ${unsettled} inputs unsettled`)
  const problem = problemOf(yield* topics.takeOutputs, plan.messages)
  yield* check(problem === undefined, `${titleOf(contestant)}: ${problem}`)
  return pass
}, Effect.scoped)

const endedEarly = (contestant: Contestant, child: Child) =>
  Effect.andThen(
    ended(contestant, child),
    new BenchmarkError({ message: `${titleOf(contestant)} ended before all was done` })
  )

interface Watched {
  readonly topics: Topics
  readonly contestant: Contestant
  readonly child: Child
  readonly messages: number
}

/** From the first look that finds outputs to the first that finds them all: starting and ending are outside of it. */
const watch = ({ child, contestant, messages, topics }: Watched) =>
  Effect.gen(function* () {
    const look = Effect.map(topics.outputs, (count) => ({ count, millis: performance.now() }))
    const until = (enough: number) =>
      Effect.repeat(look, { until: ({ count }) => count >= enough, schedule: Schedule.spaced(topics.pauseMillis) })
    const first = yield* until(1)
    const processorBefore = yield* processorMicros(child.pid)
    const last = yield* until(messages)
    const processorAfter = yield* processorMicros(child.pid)
    const count = last.count - first.count
    const pass: Pass = {
      messagesPerSecond: (count / (last.millis - first.millis)) * 1000,
      processorMicros: (processorAfter - processorBefore) / count
    }
    return pass
  }).pipe(
    Effect.timeoutOrElse({
      duration: deadline(messages),
      orElse: () => Effect.fail(new BenchmarkError({ message: `${titleOf(contestant)} does not come to an end` }))
    })
  )

/** A minute, and as long as a rate of 500 messages per second would take. */
const deadline = (messages: number) => Duration.seconds(60 + messages / 500)
