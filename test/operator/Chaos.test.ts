/**
 * The operator under faults of every sort at the same time, by a seed: crashes between any two calls, answers that were
 * lost, conflicts, refusals, watches that are cut, that tell twice, and too late; two of them at once.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { TestClock } from "effect/testing"
import {
  ClusterAway,
  type ClusterError,
  Conflict,
  NotFound,
  Refused,
  TooManyRequests
} from "../../src/domain/ClusterError.ts"
import type { JobObject } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import { hasEnded } from "../../src/operator/PaymentJob.ts"
import * as Stage from "../support/OperatorStage.ts"
import { complete, failed, namespace, paymentJob, running, setJob } from "../support/PaymentJobs.ts"

/** Numbers from 0 to before 1, the same for the same seed (mulberry32). */
const random = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}

const away = new ClusterAway({ detail: "500", retryAfterMillis: undefined })
const reasons: ReadonlyArray<ClusterError["reason"]> = [
  away,
  new Conflict({ detail: "409" }),
  new NotFound({ detail: "404" }),
  new TooManyRequests({ detail: "429", retryAfterMillis: 1_000 }),
  new Refused({ detail: "exceeded quota" })
]

const count = 12
const names = Array.from({ length: count }, (_, index) => `run-${index}`)

/** What has been seen of Jobs: it never ends otherwise, and never runs after its PaymentJob's end. */
const makeJudge = () => {
  const endedUids = new Set<string>()
  const ownerOf = (job: JobObject) => job.metadata.ownerReferences?.[0]?.uid ?? ""
  const isOver = (job: JobObject) => job.status?.conditions?.some(({ status }) => status === "True") === true
  return {
    /** Looks at all Jobs there are. */
    look: Effect.gen(function* () {
      const cluster = yield* Cluster
      const jobs = (yield* cluster.list("Job", { namespaces: [] })).filter((job) => ownerOf(job) !== "")
      assert.strictEqual(new Set(jobs.map(ownerOf)).size, jobs.length, "one Job for a PaymentJob")
      for (const job of jobs) {
        if (isOver(job)) endedUids.add(ownerOf(job))
        else assert.isFalse(endedUids.has(ownerOf(job)), `${job.metadata.name} runs again after its end`)
      }
      return jobs
    })
  }
}

/** The cluster's own controllers, and people: they meet no faults. */
const life = (chance: () => number, judge: ReturnType<typeof makeJudge>) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    for (const job of yield* judge.look) {
      const { name } = job.metadata
      const isOver = job.status?.conditions !== undefined
      const dice = chance()
      if (!isOver && dice < 0.3) yield* setJob(cluster, name, running)
      else if (!isOver && dice < 0.45) yield* setJob(cluster, name, chance() < 0.8 ? complete : failed)
      else if (!isOver && dice < 0.5) yield* cluster.delete("Job", { namespace, name })
    }
    // an end that is on record may be tidied up
    for (const { metadata, status } of yield* cluster.list("PaymentJob", { namespaces: [] }))
      if (hasEnded((status ?? {}) as never) && chance() < 0.2)
        yield* Effect.ignore(cluster.delete("Job", { namespace, name: `${metadata.name}-job` }))
    const name = names[Math.floor(chance() * count)] ?? ""
    if (chance() < 0.1) yield* Effect.ignore(cluster.delete("PaymentJob", { namespace, name }))
    else if (chance() < 0.5) yield* Effect.ignore(cluster.create("PaymentJob", paymentJob(name)))
  })

/** Lets somebody act without faults. */
const untroubled = <A, E, R>(effect: Effect.Effect<A, E, R>, chance: () => number) =>
  Effect.gen(function* () {
    const trouble = yield* ClusterTrouble
    yield* trouble.onRequest(() => undefined)
    const result = yield* effect
    yield* trouble.onRequest(({ verb }) => {
      if (chance() >= 0.15) return undefined
      // a watch has no conflicts: what trying again cannot help would end the process
      const possible = verb === "watch" ? [away] : reasons
      const reason = possible[Math.floor(chance() * possible.length)] ?? away
      return { reason, afterEffect: reason._tag === "ClusterAway" && chance() < 0.5 }
    })
    return result
  })

const chaos = (seed: number) =>
  Effect.gen(function* () {
    const chance = random(seed)
    const cluster = yield* Cluster
    const trouble = yield* ClusterTrouble
    const judge = makeJudge()
    yield* trouble.onEvent((event) => (chance() < 0.2 ? [event, event] : [event]))
    const operators = [yield* Stage.start(), yield* Stage.start()]
    for (let round = 0; round < 60; round += 1) {
      yield* untroubled(life(chance, judge), chance)
      yield* TestClock.adjust(Math.floor(chance() * 2_000))
      if (chance() < 0.15) yield* trouble.cutWatches
      if (chance() < 0.3) yield* trouble.resumeWatches
      if (chance() < 0.2) {
        yield* operators.shift()?.kill ?? Effect.void
        operators.push(yield* Stage.start())
      }
    }
    yield* trouble.onRequest(() => undefined)
    yield* trouble.resumeWatches
    yield* TestClock.adjust("5 minutes")
    yield* judge.look
    yield* isRight(cluster)
    const before = yield* Stage.requestCount
    yield* TestClock.adjust("1 hour")
    assert.deepStrictEqual(yield* Stage.changesSince(before), [], "nothing is written when nothing happens")
  }).pipe(
    Effect.provide(Stage.layer),
    Effect.scoped,
    Random.withSeed(seed),
    Effect.tapCause(() => Effect.logError(`the seed was ${seed}`))
  )

/** Every status says what its Job says. */
const isRight = Effect.fnUntraced(function* (cluster: Cluster["Service"]) {
  const jobs = new Map((yield* cluster.list("Job", { namespaces: [] })).map((job) => [job.metadata.name, job]))
  const all = yield* cluster.list("PaymentJob", { namespaces: [] })
  assert.isAbove(all.length, 0)
  for (const { metadata, status } of all) {
    const phase = (status as { readonly phase?: string } | undefined)?.phase
    const job = jobs.get(`${metadata.name}-job`)
    const end = job?.status?.conditions?.[0]?.type
    if (job === undefined) assert.include(["Succeeded", "Failed"], phase, metadata.name)
    else assert.strictEqual(job.metadata.ownerReferences?.[0]?.uid, metadata.uid)
    if (end !== undefined) assert.strictEqual(phase, end === "Complete" ? "Succeeded" : "Failed", metadata.name)
    else if (job !== undefined) assert.include(["Pending", "Running"], phase, metadata.name)
  }
})

describe("The operator in chaos", () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    it.effect(`makes one Job each, never runs an end again, and gets all statuses right (seed ${seed})`, () =>
      chaos(seed)
    )
  }
})
