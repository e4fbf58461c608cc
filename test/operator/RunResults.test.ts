/** What became of a run: what its pods said at their end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { JobObject } from "../../src/domain/ClusterObjects.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import { complete, ended, failed, namespace, podOf, running, setJob } from "../support/PaymentJobs.ts"

describe("The end", () => {
  it.effect("says with what exit code the worker failed", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.withPod(2)
      yield* setJob(cluster, "one-job", failed)
      yield* Stage.settle
      const status = yield* Stage.statusOf("one")
      assert.strictEqual(status.phase, "Failed")
      assert.include(status.message, "exit code 2 (wrong configuration)")
      assert.strictEqual(Stage.conditionOf(status, "Failed")?.reason, "BackoffLimitExceeded")
      assert.strictEqual(status.completionTime, "2026-01-01T00:02:00Z")
      assert.deepStrictEqual((yield* Stage.reasonsTold).slice(-1), ["JobFailed"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("asks for the pods that it has not seen, when their Job has ended", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "Pod" ? [] : [event]))
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      const result = { stored: 10, duplicates: 0, deadLettered: 0 }
      yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status: ended(0, JSON.stringify(result)) })
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.deepStrictEqual((yield* Stage.statusOf("one")).result, result)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("remembers what a pod said that was deleted before the run's end, as at a deadline", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      yield* setJob(cluster, "one-job", running)
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      const status = ended(4, JSON.stringify({ run: uidOf(job), done: false, ...result }))
      yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status: { ...status, phase: "Running" } })
      yield* cluster.delete("Pod", { namespace, name: "one-job-a" })
      yield* Stage.settle
      yield* setJob(cluster, "one-job", failed)
      yield* Stage.settle
      const end = yield* Stage.statusOf("one")
      assert.deepStrictEqual(end.result, result)
      assert.include(end.message, "exit code 4")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("remembers it though the watch was cut meanwhile", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      const trouble = yield* ClusterTrouble
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      const status = ended(1, JSON.stringify({ run: uidOf(job), ...result }))
      yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status })
      yield* Stage.settle
      yield* trouble.cutWatches
      yield* cluster.delete("Pod", { namespace, name: "one-job-a" })
      yield* setJob(cluster, "one-job", failed)
      yield* trouble.resumeWatches
      yield* Stage.settle
      assert.deepStrictEqual((yield* Stage.statusOf("one")).result, result)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("waits with the end until a pod that is gone was told of: it may have said something", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      const trouble = yield* ClusterTrouble
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      yield* Stage.settle
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "Pod" ? [] : [event]))
      const status = ended(0, JSON.stringify({ run: uidOf(job), ...result }))
      const { metadata } = yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status })
      yield* cluster.delete("Pod", { namespace, name: "one-job-a" })
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.isUndefined((yield* Stage.statusOf("one")).completionTime)
      yield* trouble.onEvent((event) => [event])
      // told late, as it was last
      yield* cluster.create("Pod", { ...podOf(job, "one-job-a"), status } as never)
      yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status })
      yield* Stage.settle
      assert.isDefined(metadata.uid)
      assert.deepStrictEqual((yield* Stage.statusOf("one")).result, result)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("does not count what pods of an earlier PaymentJob of that name said", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      for (const [name, run, stored] of [
        ["one-job-a", "the run of another", 900],
        ["one-job-b", uidOf(job), 7]
      ] as const) {
        yield* cluster.create("Pod", podOf(job, name))
        const status = ended(0, JSON.stringify({ run, stored, duplicates: 0, deadLettered: 0 }))
        yield* cluster.patchStatus("Pod", { namespace, name }, { status })
      }
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.strictEqual((yield* Stage.statusOf("one")).result?.stored, 7)
    }).pipe(Effect.provide(Stage.layer))
  )
})

const result = { stored: 7, duplicates: 2, deadLettered: 1 }

const uidOf = ({ metadata }: JobObject): string => metadata.ownerReferences?.[0]?.uid ?? ""
