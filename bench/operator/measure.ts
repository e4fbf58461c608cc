/** One turn on a control plane of its own, and what it must have left behind. */
import { Effect, Layer } from "effect"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { newNamespace, OperatorPlane } from "../../test/support/OperatorPlane.ts"
import { endedWell, playPods } from "../../test/support/PlayedPods.ts"
import type { Child } from "../../test/support/servers/Child.ts"
import { BenchmarkError, check } from "../BenchmarkError.ts"
import { inTurn, type Rounds } from "../beside.ts"
import { ended, titleOf } from "../Contestant.ts"
import { peakMegabytes, processorMicros } from "../process.ts"
import { number } from "../table.ts"
import { type Contestant, launch } from "./Contestant.ts"
import { kindsOf, requestsOf, writesOf } from "./Requests.ts"
import { type Moments, type Witness, watch } from "./Witness.ts"

export interface Plan extends Rounds<Contestant> {
  readonly paymentJobs: number
  readonly alone: number
}

/** What one turn of a contestant gave. */
export type Turn = Effect.Success<ReturnType<typeof turn>>

/** Every contestant, round by round. */
export const measure = (plan: Plan) =>
  inTurn(
    plan,
    (contestant) => turn(plan, contestant).pipe(Effect.provide(Layer.fresh(OperatorPlane.layer))),
    ({ crowd, restart }) => `${number(crowd.jobsPerSecond)} Jobs/s, ${restart.writes} writes on a restart`
  )

const namesOf = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

/** The crowd, then one at a time, then the end of all of them, then another operator that finds them ended. */
const turn = Effect.fnUntraced(function* (plan: Plan, contestant: Contestant) {
  const namespace = yield* newNamespace
  const witness = yield* watch(namespace)
  const stage: Stage = { contestant, namespace, witness }
  const { names, ...first } = yield* Effect.scoped(firstOperator(stage, plan))
  const restart = yield* Effect.scoped(restarted(stage, [...names, "last"]))
  return { ...first, restart }
}, Effect.scoped)

interface Stage {
  readonly contestant: Contestant
  readonly namespace: string
  readonly witness: Witness
}

const firstOperator = Effect.fnUntraced(function* ({ contestant, namespace, witness }: Stage, plan: Plan) {
  const user = "first-operator"
  const child = yield* launch(contestant, namespace, user)
  yield* whileAlive(contestant, child, begun(witness, "first"))
  const before = (yield* requestsOf(user)).length
  const crowd = yield* whileAlive(contestant, child, inCrowd(witness, child, namesOf("run", plan.paymentJobs)))
  const requestsEach = ((yield* requestsOf(user)).length - before) / plan.paymentJobs
  const alone = yield* whileAlive(contestant, child, oneByOne(witness, namesOf("alone", plan.alone)))
  const names = ["first", ...namesOf("run", plan.paymentJobs), ...namesOf("alone", plan.alone)]
  yield* playPods([namespace], () => Effect.succeed(endedWell))
  yield* whileAlive(contestant, child, witness.untilSucceeded(names))
  yield* becomesIdle(child)
  const requests = (yield* requestsOf(user)).slice(before)
  const life = {
    requestsEach: requests.length / (names.length - 1),
    requests: kindsOf(requests),
    processorSeconds: (yield* processorMicros(child.pid)) / 1e6,
    peakMegabytes: yield* peakMegabytes(child.pid)
  }
  yield* stop(contestant, child)
  yield* checkExact(contestant, namespace, names)
  return { names, crowd: { ...crowd, requestsEach }, alone, life }
})

/** The same again, with nothing to do: what it writes until it rests; a last one shows that it works. */
const restarted = Effect.fnUntraced(function* (
  { contestant, namespace, witness }: Stage,
  names: ReadonlyArray<string>
) {
  const user = "second-operator"
  const child = yield* launch(contestant, namespace, user)
  yield* becomesIdle(child)
  const requests = yield* requestsOf(user)
  const processorSeconds = (yield* processorMicros(child.pid)) / 1e6
  const peak = yield* peakMegabytes(child.pid)
  yield* playPods([namespace], () => Effect.succeed(endedWell))
  yield* witness.create("last")
  yield* whileAlive(contestant, child, witness.untilSucceeded(["last"]))
  yield* stop(contestant, child)
  yield* checkExact(contestant, namespace, names)
  return { writes: writesOf(requests), requests: kindsOf(requests), processorSeconds, peakMegabytes: peak }
})

/** Creates one, and waits until it runs: then the operator is at work. */
const begun = (witness: Witness, name: string) => Effect.andThen(witness.create(name), witness.untilRunning([name]))

/** Clients that create PaymentJobs at the same time. */
const clients = 50

const inCrowd = Effect.fnUntraced(function* (witness: Witness, { pid }: Child, names: ReadonlyArray<string>) {
  const before = yield* processorMicros(pid)
  yield* Effect.forEach(names, witness.create, { concurrency: clients, discard: true })
  yield* witness.untilRunning(names)
  const processorSeconds = ((yield* processorMicros(pid)) - before) / 1e6
  const moments = names.map(witness.momentsOf)
  const began = Math.min(...moments.map(({ created }) => created))
  const rateUntil = (of: (moments: Moments) => number) => (names.length / (Math.max(...moments.map(of)) - began)) * 1000
  return {
    jobsPerSecond: rateUntil(({ job }) => job),
    runningPerSecond: rateUntil(({ running }) => running),
    ...timesOf(moments),
    processorSeconds
  }
})

const oneByOne = Effect.fnUntraced(function* (witness: Witness, names: ReadonlyArray<string>) {
  yield* Effect.forEach(names, (name) => begun(witness, name), { discard: true })
  return timesOf(names.map(witness.momentsOf))
})

const timesOf = (moments: ReadonlyArray<Moments>) => ({
  toJob: moments.map(({ created, job }) => job - created),
  toRunning: moments.map(({ created, running }) => running - created)
})

const whileAlive = <A, E, R>(contestant: Contestant, child: Child, effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.andThen(
      ended(contestant, child),
      new BenchmarkError({ message: `${titleOf(contestant)} ended before all was done` })
    )
  )

/** Processor time in a second of a process that has nothing to do: its timers, its Lease. */
const idleMicros = 60_000

/** Waits until it has rested for three seconds, having done something before. */
const becomesIdle = Effect.fnUntraced(function* ({ pid }: Child) {
  let [last, restful] = [yield* processorMicros(pid), 0]
  while (restful < 3) {
    yield* Effect.sleep("1 second")
    const now = yield* processorMicros(pid)
    restful = now - last < idleMicros ? restful + 1 : 0
    last = now
  }
})

const stop = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  yield* child.kill("SIGTERM")
  yield* ended(contestant, child)
})

/** Of each PaymentJob one Job, and of that one pod; and it has succeeded. */
const checkExact = Effect.fnUntraced(function* (
  contestant: Contestant,
  namespace: string,
  names: ReadonlyArray<string>
) {
  const cluster = yield* Cluster
  const scope = { namespaces: [namespace] }
  const paymentJobs = yield* cluster.list("PaymentJob", scope)
  const jobs = yield* cluster.list("Job", scope)
  const pods = yield* cluster.list("Pod", scope)
  const title = titleOf(contestant)
  const succeeded = paymentJobs.filter(({ status }) => status?.["phase"] === "Succeeded")
  const problem = `${title}: ${succeeded.length} of ${names.length} PaymentJobs are said to have succeeded`
  yield* check(succeeded.length === names.length && paymentJobs.length === names.length, problem)
  const owners = jobs.map(({ metadata }) => metadata.ownerReferences?.[0]?.name ?? "")
  const isOneEach = JSON.stringify(owners.toSorted()) === JSON.stringify(names.toSorted())
  yield* check(isOneEach, `${title}: ${jobs.length} Jobs for ${names.length} PaymentJobs are not one each`)
  yield* check(pods.length === names.length, `${title}: ${pods.length} pods for ${names.length} Jobs`)
})
