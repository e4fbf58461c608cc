/** Why a PaymentJob does not get on: what its pods wait for, and why it has none. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import type { EventObject, JobObject, New } from "../../src/domain/ClusterObjects.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import { namespace, podOf, running, setJob, waiting } from "../support/PaymentJobs.ts"

describe("A pod", () => {
  for (const [reason, status] of [
    ["SecretMissing", waiting("CreateContainerConfigError", 'secret "rabbitmq-login" not found')],
    ["ContainerConfigInvalid", waiting("CreateContainerConfigError", "image will run as root")],
    ["ImagePullFailed", waiting("ErrImagePull", "manifest unknown")],
    [
      "Unschedulable",
      {
        phase: "Pending",
        conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/1 nodes" }]
      }
    ]
  ] as const) {
    it.effect(`says ${reason} while a pod does not start, once, and no longer when it does`, () =>
      Effect.gen(function* () {
        const { cluster } = yield* Stage.withPod(status)
        const stuck = yield* Stage.statusOf("one")
        assert.strictEqual(Stage.conditionOf(stuck, "Stalled")?.reason, reason)
        assert.strictEqual(Stage.conditionOf(stuck, "Ready")?.status, "False")
        assert.include(stuck.message, "does not start")
        yield* cluster.patchStatus(
          "Pod",
          { namespace, name: "one-job-a" },
          {
            status: {
              phase: "Running",
              conditions: null,
              containerStatuses: [{ name: "worker", state: { running: {} } }]
            }
          }
        )
        yield* Stage.settle
        const healed = yield* Stage.statusOf("one")
        assert.isUndefined(Stage.conditionOf(healed, "Stalled"))
        assert.strictEqual(Stage.conditionOf(healed, "Ready")?.status, "True")
        assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", reason])
      }).pipe(Effect.provide(Stage.layer))
    )
  }

  it.effect("writes once for an image that cannot be pulled, however often the node says it otherwise", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.withPod(waiting("ErrImagePull", "manifest unknown"))
      const before = yield* Stage.requestCount
      for (const reason of ["ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"]) {
        yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status: waiting(reason, "again") })
        yield* Stage.settle
      }
      assert.deepStrictEqual(
        (yield* Stage.changesSince(before)).filter(({ kind }) => kind !== "Pod"),
        []
      )
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("says that a pod which should be gone is on a node that does not answer, when its time is over", () =>
    Effect.gen(function* () {
      const stage = yield* Stage.withPod({ phase: "Running" })
      yield* stage.cluster.patch("Pod", { namespace, name: "one-job-a" }, { metadata: beingDeleted("2026") })
      yield* TestClock.adjust("80 seconds")
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled"))
      yield* TestClock.adjust("11 seconds")
      const lost = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(lost, "Stalled")?.reason, "NodeLost")
      assert.include(lost.message, "one-job-a does not end")
      yield* stage.cluster.delete("Pod", { namespace, name: "one-job-a" })
      yield* Stage.settle
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled"))
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect(
    "goes by its own clock then, and by when it saw that first: the times of others may be of another year",
    () =>
      Effect.gen(function* () {
        const { cluster } = yield* Stage.withPod({ phase: "Running" })
        const seen = { namespace, name: "one-job-a" }
        for (const year of ["1960", "2090", "1961"]) {
          yield* cluster.patch("Pod", seen, { metadata: beingDeleted(year) })
          yield* TestClock.adjust("29 seconds")
          assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled"), year)
        }
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled")?.reason, "NodeLost")
      }).pipe(Effect.provide(Stage.layer))
  )

  for (const status of [{ phase: "Running", reason: "NodeLost" }, { phase: "Unknown" }] as const) {
    it.effect(`says so at once where Kubernetes itself says it (${JSON.stringify(status)})`, () =>
      Effect.gen(function* () {
        yield* Stage.withPod(status)
        assert.strictEqual(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled")?.reason, "NodeLost")
      }).pipe(Effect.provide(Stage.layer))
    )
  }

  it.effect("takes a config map for what it is, whatever its name", () =>
    Effect.gen(function* () {
      yield* Stage.withPod(waiting("CreateContainerConfigError", 'configmap "secret-words" not found'))
      assert.strictEqual(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled")?.reason, "ContainerConfigInvalid")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("says what keeps a Job from having a pod at all, once, and no longer when there is one", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      const before = yield* Stage.requestCount
      yield* TestClock.adjust("5 minutes")
      const asked = (yield* (yield* ClusterTrouble).requests).slice(before)
      assert.deepStrictEqual(asked, [], "before its controller takes it up there is nothing to ask")
      yield* setJob(cluster, "one-job", { startTime: job.metadata.creationTimestamp })
      const detail = 'error looking up service account payments/x: serviceaccount "x" not found'
      yield* cluster.create("Event", failedCreate(job, 1, `Error creating: pods "one-job-a" is forbidden: ${detail}`))
      yield* TestClock.adjust("5 seconds")
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled"))
      yield* TestClock.adjust("6 seconds")
      const stuck = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(stuck, "Stalled")?.reason, "PodsNotCreated")
      assert.include(stuck.message, 'serviceaccount "x" not found')
      const stalledAt = yield* Stage.requestCount
      yield* cluster.create("Event", failedCreate(job, 2, `Error creating: pods "one-job-b" is forbidden: ${detail}`))
      yield* TestClock.adjust("5 minutes")
      const written = (yield* Stage.changesSince(stalledAt)).filter(({ kind }) => kind !== "Event")
      assert.deepStrictEqual(written, [], "another pod's name is no news")
      yield* cluster.create("Pod", podOf(job, "one-job-c"))
      yield* setJob(cluster, "one-job", running)
      yield* Stage.settle
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled"))
    }).pipe(Effect.provide(Stage.layer))
  )
})

/** With a minute to end. */
const beingDeleted = (year: string) => ({
  deletionTimestamp: `${year}-01-01T00:00:00Z`,
  deletionGracePeriodSeconds: 60
})

/** As the cluster's own controller tells it. */
const failedCreate = ({ metadata: { name, uid } }: JobObject, count: number, message: string): New<EventObject> => {
  const at = `2026-01-01T00:00:${String(count).padStart(2, "0")}Z`
  return {
    metadata: { name: `${name}.${count}`, namespace },
    involvedObject: { apiVersion: "batch/v1", kind: "Job", namespace, name, uid },
    type: "Warning",
    reason: "FailedCreate",
    message,
    firstTimestamp: at,
    lastTimestamp: at
  }
}
