/** What the operator does where the API server refuses, or somebody else is in its way. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Refused, TooManyRequests } from "../../src/domain/ClusterError.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import { namespace, paymentJob } from "../support/PaymentJobs.ts"

describe("The operator in trouble", () => {
  it.effect("says that its Job is not taken, and goes on trying", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(({ kind, verb }) =>
        kind === "Job" && verb === "create" ? { reason: new Refused({ detail: "exceeded quota" }) } : undefined
      )
      yield* Stage.start()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("5 minutes")
      const status = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(status, "Stalled")?.reason, "JobRefused")
      assert.include(status.message, "exceeded quota")
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Stage.statusOf("one")).jobName, "one-job")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobRefused", "JobCreated"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("waits as long as the API server asks", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const trouble = yield* ClusterTrouble
      const reason = new TooManyRequests({ detail: "slow down", retryAfterMillis: 30_000 })
      yield* trouble.onRequest(({ kind, verb }) => (kind === "Job" && verb === "create" ? { reason } : undefined))
      yield* Stage.start()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("29 seconds")
      const asked = (yield* trouble.requests).filter(({ kind, verb }) => kind === "Job" && verb === "create")
      assert.strictEqual(asked.length, 1)
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [] })).length, 1)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("says in the status what is wrong with a spec that it cannot read, and takes it up when it can", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* Stage.start()
      const { metadata, spec } = paymentJob("one")
      yield* cluster.create("PaymentJob", { metadata, spec: { ...spec, parallelism: "two" } })
      yield* TestClock.adjust("30 minutes")
      const stuck = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(stuck, "Stalled")?.reason, "SpecInvalid")
      assert.include(stuck.message, "parallelism")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["SpecInvalid"])
      yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { parallelism: 2 } })
      yield* Stage.settle
      assert.strictEqual((yield* Stage.statusOf("one")).jobName, "one-job")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("does not write again and again for a refusal that is worded otherwise each time", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const trouble = yield* ClusterTrouble
      let asked = 0
      yield* trouble.onRequest(({ kind, verb }) => {
        if (kind !== "Job" || verb !== "create") return undefined
        asked += 1
        return { reason: new Refused({ detail: `exceeded quota: used ${asked}` }) }
      })
      yield* Stage.start()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("21 minutes")
      const writes = (yield* trouble.requests).filter(({ subresource }) => subresource === "status")
      assert.isAbove(asked, 15)
      assert.isBelow(asked, 60)
      assert.isAtMost(writes.length, 3)
      assert.notInclude((yield* Stage.statusOf("one")).message, "used 1;")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("tries again later where the API server does not keep what it was told", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      let asked = 0
      const patch: typeof cluster.patch = (kind, seen, changes) => {
        if (kind !== "Job") return cluster.patch(kind, seen, changes)
        asked += 1
        return cluster.get(kind, seen)
      }
      yield* Effect.provideService(Stage.start(), Cluster, { ...cluster, patch })
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* Stage.settle
      yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { suspend: true } })
      yield* Stage.settle
      const atFirst = asked
      yield* TestClock.adjust("5 minutes")
      assert.isAtLeast(asked, 2 * atFirst)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("leaves a Job of that name that is not its own alone, says so, and takes the name when it is free", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* cluster.create("Job", foreignJob)
      const foreign = yield* cluster.get("Job", { namespace, name: "one-job" })
      yield* Stage.start()
      // a watch tells of a later version than that of the Job that is in the way
      yield* cluster.create("PaymentJob", paymentJob("other"))
      yield* Stage.settle
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* cluster.get("Job", { namespace, name: "one-job" }), foreign)
      const stalled = Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled")
      assert.strictEqual(stalled?.reason, "NameConflict")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "NameConflict"])
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Stage.statusOf("one")).jobName, "one-job")
    }).pipe(Effect.provide(Stage.layer))
  )
})

const foreignJob = {
  metadata: { name: "one-job", namespace },
  spec: { template: { spec: { containers: [{ name: "other", image: "other" }] } } }
}
