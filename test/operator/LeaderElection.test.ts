/** Who of several operators acts. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { ClusterAway, Forbidden, TooManyRequests } from "../../src/domain/ClusterError.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as MemoryCluster from "../../src/layers/memory/MemoryCluster.ts"
import { leaderElection } from "../../src/operator/LeaderElection.ts"
import type { Leadership } from "../../src/operator/Leadership.ts"
import * as Stage from "../support/OperatorStage.ts"
import { namespace, paymentJob } from "../support/PaymentJobs.ts"

const lease = { namespace: "paymentjob-system", name: "paymentjob-operator" }

/** One that takes part; `stop` is a clean stop. */
const candidate = (identity: string) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const leadership = yield* Scope.provide(leaderElection({ ...lease, identity }), scope)
    const stop = Scope.close(scope, Exit.void)
    yield* Effect.addFinalizer(() => stop)
    return { ...leadership, stop, lost: yield* Effect.forkDetach(Effect.flip(leadership.lost)) }
  })

const holder = Cluster.use((cluster) => cluster.get("Lease", lease)).pipe(
  Effect.map(({ spec }) => spec?.holderIdentity)
)

describe("Leader election", () => {
  it.effect("lets one lead and others stand by", () =>
    Effect.gen(function* () {
      const first = yield* candidate("first")
      yield* TestClock.adjust("3 seconds")
      const second = yield* candidate("second")
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual([yield* first.isLeading, yield* second.isLeading], [true, false])
      assert.strictEqual(yield* holder, "first")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("hands over within two seconds of a clean stop", () =>
    Effect.gen(function* () {
      const first = yield* candidate("first")
      yield* TestClock.adjust("3 seconds")
      const second = yield* candidate("second")
      yield* TestClock.adjust("1 minute")
      yield* first.stop
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(yield* second.isLeading)
      assert.isFalse(yield* first.isLeading)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("takes over within fifteen seconds of the last renewal, and not before ten", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* cluster.create("Lease", {
        metadata: lease,
        spec: { holderIdentity: "killed", leaseDurationSeconds: 10, renewTime: "2026-01-01T00:00:00.000000Z" }
      })
      const second = yield* candidate("second")
      yield* TestClock.adjust("5 seconds")
      // its last renewal
      yield* cluster.patch("Lease", lease, { spec: { renewTime: "2026-01-01T00:00:05.000000Z" } })
      yield* TestClock.adjust("10 seconds")
      assert.isFalse(yield* second.isLeading)
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(yield* second.isLeading)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("goes by its own clock: the times in the lease may be of another year", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const renew = (year: number) =>
        cluster.patch("Lease", lease, { spec: { renewTime: `${year}-01-01T00:00:00.000000Z` } })
      yield* cluster.create("Lease", { metadata: lease, spec: { holderIdentity: "other", leaseDurationSeconds: 10 } })
      const own = yield* candidate("own")
      for (const year of [1990, 1991, 2090, 2091]) {
        yield* renew(year)
        yield* TestClock.adjust("8 seconds")
        assert.isFalse(yield* own.isLeading)
      }
      yield* TestClock.adjust("7 seconds")
      assert.isTrue(yield* own.isLeading)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("stops acting seven seconds after the last renewal, before anybody else begins, and ends", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      const reason = new ClusterAway({ detail: "no answer", retryAfterMillis: undefined })
      yield* trouble.onRequest(() => ({ reason }))
      yield* TestClock.adjust("7 seconds")
      assert.isFalse(yield* own.isLeading)
      const lost = yield* Fiber.join(own.lost)
      assert.strictEqual(lost._tag, "LeadershipLost")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("asks again no sooner than it was told to, and soon enough to keep on leading", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      const asked = (retryAfterMillis: number) =>
        Effect.gen(function* () {
          const before = (yield* trouble.requests).length
          const reason = new TooManyRequests({ detail: "slow down", retryAfterMillis })
          yield* trouble.onRequest(() => ({ reason }))
          yield* TestClock.adjust("4 seconds")
          const count = (yield* trouble.requests).length - before
          yield* trouble.onRequest(() => undefined)
          yield* TestClock.adjust("1 minute")
          assert.isTrue(yield* own.isLeading)
          return count
        })
      assert.isAtLeast(yield* asked(0), 4)
      assert.isAtMost(yield* asked(1_500), 3)
      const forLong = yield* asked(60_000)
      assert.isAtLeast(forLong, 1)
      assert.isAtMost(forLong, 2)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("survives answers that were lost", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      let count = 0
      const reason = new ClusterAway({ detail: "no answer", retryAfterMillis: undefined })
      yield* trouble.onRequest(({ verb }) => {
        count += verb === "patch" ? 1 : 0
        return verb === "patch" && count % 3 === 1 ? { reason, afterEffect: true } : undefined
      })
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(yield* own.isLeading)
      assert.strictEqual(yield* holder, "own")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("ends when another took the lease", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      yield* cluster.patch("Lease", lease, { spec: { holderIdentity: "other" } })
      yield* TestClock.adjust("3 seconds")
      assert.include((yield* Fiber.join(own.lost)).message, "other holds it")
      assert.isFalse((yield* holder) === "own")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("takes the lease again that somebody deleted", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      yield* cluster.delete("Lease", lease)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(yield* own.isLeading)
      assert.strictEqual(yield* holder, "own")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("knows whether the lease can be reached, leading or not", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const reason = new ClusterAway({ detail: "no answer", retryAfterMillis: undefined })
      yield* trouble.onRequest(() => ({ reason }))
      const [first, second] = [yield* candidate("first"), yield* candidate("second")]
      const reachable = Effect.all([first.isReachable, second.isReachable])
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* reachable, [false, false])
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* reachable, [true, true])
      yield* trouble.onRequest(() => ({ reason }))
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(yield* reachable, [false, false])
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* reachable, [true, true])
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  const detail = "leases is forbidden"
  const refused = { reason: new Forbidden({ detail, verb: "get", resource: "leases", namespace: undefined }) }

  it.effect("ends where the lease is not granted, when that has lasted a minute", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(() => refused)
      const own = yield* candidate("own")
      yield* TestClock.adjust("58 seconds")
      assert.isUndefined(own.lost.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(own.lost)).message, detail)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("gets over a server that does not know yet what is granted, leading or not", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(() => refused)
      const own = yield* candidate("own")
      yield* TestClock.adjust("20 seconds")
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(yield* own.isLeading)
      yield* trouble.onRequest(() => refused)
      yield* TestClock.adjust("4 seconds")
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("1 minute")
      assert.isTrue(yield* own.isLeading)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("knows its own lease again when the answer to its first acquisition was lost", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const reason = new ClusterAway({ detail: "no answer", retryAfterMillis: undefined })
      yield* trouble.onRequest(({ verb }) => (verb === "create" ? { reason, afterEffect: true } : undefined))
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      assert.isTrue(yield* own.isLeading)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("changes nothing any more when it does not lead any more, which is over then and not before", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const own = yield* candidate("own")
      yield* TestClock.adjust("3 seconds")
      const over = yield* Effect.forkChild(own.over, { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(over.pollUnsafe())
      const reason = new ClusterAway({ detail: "no answer", retryAfterMillis: undefined })
      yield* trouble.onRequest(() => ({ reason }))
      yield* TestClock.adjust("8 seconds")
      yield* Fiber.join(over)
      assert.strictEqual((yield* Effect.flip(own.ifLeading(Effect.void)))._tag, "NotLeading")
    }).pipe(Effect.provide(MemoryCluster.layer))
  )
})

describe("Two operators", () => {
  it.effect("do not act at the same time: who stands by asks for nothing but the lease", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const first = yield* candidate("first")
      yield* Stage.start(leadershipOf(first))
      const second = yield* candidate("second")
      yield* Stage.start(leadershipOf(second))
      for (let index = 0; index < 20; index += 1) yield* cluster.create("PaymentJob", paymentJob(`job-${index}`))
      yield* TestClock.adjust("10 seconds")
      const creations = (yield* (yield* ClusterTrouble).requests).filter(
        ({ kind, verb }) => kind === "Job" && verb === "create"
      )
      assert.strictEqual(creations.length, 20)
      yield* first.stop
      yield* TestClock.adjust("3 seconds")
      yield* cluster.create("PaymentJob", paymentJob("after"))
      yield* Stage.settle
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [namespace] })).length, 21)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("make no second Job even if both believe that they lead", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* Stage.start()
      yield* Stage.start()
      for (let index = 0; index < 20; index += 1) yield* cluster.create("PaymentJob", paymentJob(`job-${index}`))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [namespace] })).length, 20)
      for (let index = 0; index < 20; index += 1)
        assert.strictEqual((yield* Stage.statusOf(`job-${index}`)).jobName, `job-${index}-job`)
    }).pipe(Effect.provide(Stage.layer))
  )
})

const leadershipOf = ({
  begun,
  ifLeading,
  isLeading,
  isReachable,
  over
}: Effect.Success<ReturnType<typeof candidate>>): Leadership => ({
  begun,
  ifLeading,
  isLeading,
  isReachable,
  over,
  lost: Effect.never
})
