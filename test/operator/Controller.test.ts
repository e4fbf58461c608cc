/** What the operator does about a PaymentJob, seen from the cluster. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Conflict, Refused, TooManyRequests } from "../../src/domain/ClusterError.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import {
  complete,
  ended,
  failed,
  namespace,
  paymentJob,
  podOf,
  running,
  setJob,
  waiting
} from "../support/PaymentJobs.ts"

/** A cluster with an operator, and one PaymentJob with its Job. */
const begun = (name = "one", changes: Parameters<typeof paymentJob>[1] = {}) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const { kill } = yield* Stage.start()
    yield* cluster.create("PaymentJob", paymentJob(name, changes))
    yield* Stage.settle
    return { cluster, kill, job: yield* cluster.get("Job", { namespace, name: `${name}-job` }) }
  })

const withPod = (status: Parameters<typeof ended>[0] | ReturnType<typeof waiting>) =>
  Effect.gen(function* () {
    const stage = yield* begun()
    yield* setJob(stage.cluster, "one-job", running)
    yield* stage.cluster.create("Pod", podOf(stage.job, "one-job-a"))
    const seen = { namespace, name: "one-job-a" }
    yield* stage.cluster.patchStatus("Pod", seen, { status: typeof status === "number" ? ended(status) : status })
    yield* Stage.settle
    return stage
  })

describe("The operator", () => {
  it.effect("creates the Job, and says how it goes until its end, with what became of the messages", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
      const pending = yield* Stage.statusOf("one")
      assert.deepStrictEqual([pending.phase, pending.jobName], ["Pending", "one-job"])
      yield* setJob(cluster, "one-job", running)
      yield* Stage.settle
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Running")
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      const result = { stored: 7, duplicates: 2, deadLettered: 1 }
      yield* cluster.patchStatus("Pod", { namespace, name: "one-job-a" }, { status: ended(0, JSON.stringify(result)) })
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      const done = yield* Stage.statusOf("one")
      assert.deepStrictEqual([done.phase, done.result], ["Succeeded", result])
      assert.deepStrictEqual([done.startTime, done.completionTime], [running.startTime, complete.completionTime])
      assert.strictEqual(Stage.conditionOf(done, "Complete")?.status, "True")
      assert.strictEqual(Stage.conditionOf(done, "Ready")?.status, "True")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "JobSucceeded"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("asks the API server eight times at most in a PaymentJob's life", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* Stage.start()
      const before = yield* Stage.requestCount
      yield* begunLife(cluster, "one")
      const own = (yield* (yield* ClusterTrouble).requests).slice(before).length - lifeRequests
      assert.isAtMost(own, 8)
      assert.isAtLeast(own, 5)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("writes nothing when it starts again and all is settled", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      const { kill } = yield* Stage.start()
      for (const name of ["one", "two", "three"]) yield* begunLife(cluster, name)
      yield* kill
      const before = yield* Stage.requestCount
      yield* Stage.start()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* Stage.changesSince(before), [])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("never runs again what has come to its end, whatever becomes of the Job", () =>
    Effect.gen(function* () {
      const { cluster, kill } = yield* begun()
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("30 minutes")
      yield* kill
      yield* Stage.start()
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("never runs an end again that it was not told of: it looks before it creates", () =>
    Effect.gen(function* () {
      const { cluster } = yield* begun()
      const trouble = yield* ClusterTrouble
      yield* setJob(cluster, "one-job", running)
      yield* TestClock.adjust("1 minute")
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "PaymentJob" ? [] : [event]))
      yield* cluster.patchStatus("PaymentJob", { namespace, name: "one" }, { status: { phase: "Succeeded" } })
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("30 minutes")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("makes no Job for a PaymentJob that was deleted without its being told", () =>
    Effect.gen(function* () {
      const { cluster } = yield* begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "PaymentJob" ? [] : [event]))
      yield* cluster.delete("PaymentJob", { namespace, name: "one" })
      yield* TestClock.adjust("30 minutes")
      const creations = (yield* trouble.requests).filter(({ kind, verb }) => kind === "Job" && verb === "create")
      assert.strictEqual(creations.length, 1)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("remembers the end of a Job that was deleted before its end was on record", () =>
    Effect.gen(function* () {
      const { cluster } = yield* begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(({ kind, subresource }) =>
        subresource === "status" && kind === "PaymentJob" ? { reason: new Conflict({ detail: "busy" }) } : undefined
      )
      yield* setJob(cluster, "one-job", complete)
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* Stage.settle
      yield* trouble.onRequest(() => undefined)
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("lets a finished Job go only once its end is on record", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun("one", { ttlSecondsAfterFinished: 60 })
      assert.isUndefined(job.spec.ttlSecondsAfterFinished)
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.ttlSecondsAfterFinished, 60)
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("creates again a Job that was deleted before its end, and does not go back to Pending", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
      yield* setJob(cluster, "one-job", running)
      yield* Stage.settle
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* Stage.settle
      assert.notStrictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).metadata.uid, job.metadata.uid)
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Running")
      assert.include(yield* Stage.reasonsTold, "JobRecreated")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("waits for the pods of a Job that was deleted before it makes another one", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.collectAtOnce(false)
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      assert.include((yield* Stage.statusOf("one")).message, "one-job-a")
      yield* trouble.collectGarbage
      yield* Stage.settle
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [] })).length, 1)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("leaves a Job of that name that is not its own alone, says so, and takes the name when it is free", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* cluster.create("Job", foreignJob)
      const foreign = yield* cluster.get("Job", { namespace, name: "one-job" })
      yield* Stage.start()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* cluster.get("Job", { namespace, name: "one-job" }), foreign)
      const stalled = Stage.conditionOf(yield* Stage.statusOf("one"), "Stalled")
      assert.strictEqual(stalled?.reason, "NameConflict")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["NameConflict"])
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Stage.statusOf("one")).jobName, "one-job")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("waits until the Job of an earlier PaymentJob of that name is gone", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.collectAtOnce(false)
      yield* cluster.delete("PaymentJob", { namespace, name: "one" })
      const { metadata } = yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* Stage.settle
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).metadata.uid, job.metadata.uid)
      yield* trouble.collectGarbage
      yield* TestClock.adjust("2 minutes")
      const next = yield* cluster.get("Job", { namespace, name: "one-job" })
      assert.strictEqual(next.metadata.ownerReferences?.[0]?.uid, metadata.uid)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("leaves a running Job alone when the spec is edited, says so, and runs the new one when asked", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
      yield* setJob(cluster, "one-job", running)
      yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { image: "payments-worker:2" } })
      yield* Stage.settle
      const drifted = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(drifted, "SpecDrift")?.status, "True")
      assert.strictEqual(drifted.observedGeneration, 2)
      assert.deepStrictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec, job.spec)
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* Stage.settle
      const [container] = (yield* cluster.get("Job", { namespace, name: "one-job" })).spec.template.spec.containers
      assert.strictEqual(container?.image, "payments-worker:2")
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "SpecDrift"))
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("suspends and resumes a Job; one that is suspended from the beginning has none", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* Stage.start()
      yield* cluster.create("PaymentJob", paymentJob("one", { suspend: true }))
      yield* Stage.settle
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      const suspended = yield* Stage.statusOf("one")
      assert.deepStrictEqual([suspended.phase, Stage.conditionOf(suspended, "Suspended")?.status], ["Pending", "True"])
      yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { suspend: false } })
      yield* Stage.settle
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [] })).length, 1)
      yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { suspend: true } })
      yield* Stage.settle
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.suspend, true)
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["Suspended", "JobCreated", "Resumed", "Suspended"])
    }).pipe(Effect.provide(Stage.layer))
  )

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
        const { cluster } = yield* withPod(status)
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
      const { cluster } = yield* withPod(waiting("ErrImagePull", "manifest unknown"))
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

  it.effect("says with what exit code the worker failed", () =>
    Effect.gen(function* () {
      const { cluster } = yield* withPod(2)
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

  it.effect("catches up with what happened while it was down", () =>
    Effect.gen(function* () {
      const { cluster, kill } = yield* begun()
      yield* kill
      yield* setJob(cluster, "one-job", complete)
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* Stage.start()
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
      assert.strictEqual((yield* Stage.statusOf("two")).jobName, "two-job")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("asks for the pods that it has not seen, when their Job has ended", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* begun()
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
})

const foreignJob = {
  metadata: { name: "one-job", namespace },
  spec: { template: { spec: { containers: [{ name: "other", image: "other" }] } } }
}

/** What the life of a PaymentJob asks of the API server without the operator: create, twice the Job's status, the pod. */
const lifeRequests = 6

/** From its creation to its end. */
const begunLife = (cluster: Cluster["Service"], name: string) =>
  Effect.gen(function* () {
    yield* cluster.create("PaymentJob", paymentJob(name))
    yield* Stage.settle
    yield* setJob(cluster, `${name}-job`, running)
    const job = yield* cluster.get("Job", { namespace, name: `${name}-job` })
    yield* cluster.create("Pod", podOf(job, `${name}-job-a`))
    yield* Stage.settle
    yield* cluster.patchStatus("Pod", { namespace, name: `${name}-job-a` }, { status: ended(0) })
    yield* Stage.settle
    yield* setJob(cluster, `${name}-job`, complete)
    yield* Stage.settle
  })
