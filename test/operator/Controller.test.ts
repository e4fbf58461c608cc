/** What the operator does about a PaymentJob, seen from the cluster. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch, Metric } from "effect"
import { TestClock } from "effect/testing"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import { alone, type Leadership } from "../../src/operator/Leadership.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import * as Stage from "../support/OperatorStage.ts"
import { complete, ended, namespace, paymentJob, podOf, running, setJob } from "../support/PaymentJobs.ts"

describe("The operator", () => {
  it.effect("creates the Job, and says how it goes until its end, with what became of the messages", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
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

  it.effect("says of a new Job how it gets on in one write: when it has a pod, or after a second without", () =>
    Effect.gen(function* () {
      const cluster = yield* Cluster
      yield* Stage.start()
      const before = yield* Stage.requestCount
      const written = Effect.map(
        Stage.changesSince(before),
        (all) => all.filter(({ kind, subresource }) => kind === "PaymentJob" && subresource === "status").length
      )
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(yield* written, 0)
      const job = yield* cluster.get("Job", { namespace, name: "one-job" })
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* written, 0)
      yield* setJob(cluster, "one-job", running)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual([(yield* Stage.statusOf("one")).phase, yield* written], ["Running", 1])
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([(yield* Stage.statusOf("two")).phase, yield* written], ["Pending", 2])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect.each([{}, { ttlSecondsAfterFinished: 60 }])(
    "asks the API server eight times at most in a PaymentJob's life (%o)",
    (changes) =>
      Effect.gen(function* () {
        const cluster = yield* Cluster
        yield* Stage.start()
        const before = yield* Stage.requestCount
        yield* begunLife(cluster, "one", changes)
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

  it.effect("leaves a running Job alone when the spec is edited, says so, and runs the new one when asked", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
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

  it.effect("catches up with what happened while it was down", () =>
    Effect.gen(function* () {
      const { cluster, kill } = yield* Stage.begun()
      yield* kill
      yield* setJob(cluster, "one-job", complete)
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* Stage.start()
      yield* Stage.settle
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
      assert.strictEqual((yield* Stage.statusOf("two")).jobName, "two-job")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("leaves a Job suspended that somebody else has suspended, and does not argue", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      yield* cluster.patch("Job", { namespace, name: "one-job" }, { spec: { suspend: true } })
      yield* TestClock.adjust("30 minutes")
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.suspend, true)
      const status = yield* Stage.statusOf("one")
      assert.strictEqual(Stage.conditionOf(status, "Suspended")?.status, "True")
      yield* cluster.patch("Job", { namespace, name: "one-job" }, { spec: { suspend: false } })
      yield* Stage.settle
      assert.isUndefined(Stage.conditionOf(yield* Stage.statusOf("one"), "Suspended"))
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("is ready when its watches have told what there is, and while they are alive", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      const { isReady } = yield* Stage.start()
      assert.isTrue(yield* isReady)
      yield* trouble.cutWatches
      assert.isFalse(yield* isReady)
      yield* trouble.resumeWatches
      assert.isTrue(yield* isReady)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("measures what is in hand while it is, and nothing when it is done", () =>
    Effect.gen(function* () {
      const { cluster, latch } = yield* startedWhereJobsWait()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* TestClock.adjust("10 seconds")
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* inHand, [2, 50, 30])
      yield* latch.open
      yield* Stage.settle
      assert.deepStrictEqual(yield* inHand, [0, 0, 0])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("asked to stop, finishes what is in hand", () =>
    Effect.gen(function* () {
      const { cluster, ended, latch } = yield* startedWhereJobsWait()
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* Stage.settle
      yield* (yield* Shutdown).request
      yield* Stage.settle
      yield* latch.open
      yield* ended
      const jobs = yield* cluster.list("Job", { namespaces: [namespace] })
      assert.deepStrictEqual(
        jobs.map(({ metadata }) => metadata.name),
        ["one-job"]
      )
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("leading no more, gives up what is in hand, and looks at nothing more", () =>
    Effect.gen(function* () {
      const isOver = yield* Latch.make(false)
      const { cluster, latch } = yield* startedWhereJobsWait({ ...alone, over: isOver.await })
      yield* cluster.create("PaymentJob", paymentJob("one"))
      yield* Stage.settle
      assert.deepStrictEqual(yield* inHand, [1, 1, 1])
      yield* isOver.open
      yield* Stage.settle
      yield* latch.open
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      assert.deepStrictEqual(yield* inHand, [0, 0, 0])
    }).pipe(Effect.provide(Stage.layer))
  )
})

/** An operator whose Jobs are not created until the latch is open. */
const startedWhereJobsWait = (leadership?: Leadership) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const latch = yield* Latch.make(false)
    const create: typeof cluster.create = (kind, object) =>
      kind === "Job" ? Effect.andThen(latch.await, cluster.create(kind, object)) : cluster.create(kind, object)
    const { ended } = yield* Effect.provideService(Stage.start(leadership), Cluster, { ...cluster, create })
    return { cluster, latch, ended }
  })

/** How many are looked at, for how many seconds together, and the longest of them. */
const inHand = Effect.map(Metric.snapshot, (all) =>
  [
    "controller_runtime_active_workers",
    "workqueue_unfinished_work_seconds",
    "workqueue_longest_running_processor_seconds"
  ].map((name) => {
    const state = all.find(({ id }) => id === name)?.state
    return state !== undefined && "value" in state ? Math.round(Number(state.value)) : undefined
  })
)

/** What the life of a PaymentJob asks of the API server without the operator: create, twice the Job's status, the pod. */
const lifeRequests = 6

/** From its creation to its end. */
const begunLife = (cluster: Cluster["Service"], name: string, changes: Parameters<typeof paymentJob>[1] = {}) =>
  Effect.gen(function* () {
    yield* cluster.create("PaymentJob", paymentJob(name, changes))
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
