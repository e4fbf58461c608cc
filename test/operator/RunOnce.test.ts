/** What has come to its end never runs again, and one Job at a time is at work. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { Conflict } from "../../src/domain/ClusterError.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import { complete, namespace, paymentJob, podOf, running, setJob } from "../support/PaymentJobs.ts"

describe("A run", () => {
  it.effect("never runs again what has come to its end, whatever becomes of the Job", () =>
    Effect.gen(function* () {
      const { cluster, kill } = yield* Stage.begun()
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
      const { cluster } = yield* Stage.begun()
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
      const { cluster } = yield* Stage.begun()
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
      const { cluster } = yield* Stage.begun()
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
      const { cluster, job } = yield* Stage.begun("one", { ttlSecondsAfterFinished: 60 })
      assert.isUndefined(job.spec.ttlSecondsAfterFinished)
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.ttlSecondsAfterFinished, 60)
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("lets it go with one request, though the cluster has changed it meanwhile", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun("one", { ttlSecondsAfterFinished: 60 })
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(({ kind, subresource }) =>
        subresource === "status" && kind === "PaymentJob" ? { reason: new Conflict({ detail: "busy" }) } : undefined
      )
      yield* setJob(cluster, "one-job", complete)
      yield* trouble.onEvent(() => [])
      yield* cluster.patch("Job", { namespace, name: "one-job" }, { metadata: { annotations: { seen: "by nobody" } } })
      yield* trouble.onRequest(() => undefined)
      const before = yield* Stage.requestCount
      yield* TestClock.adjust("2 minutes")
      const patches = (yield* Stage.changesSince(before)).filter(({ kind }) => kind === "Job")
      assert.strictEqual(patches.length, 1)
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.ttlSecondsAfterFinished, 60)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("creates again a Job that was deleted before its end, and does not go back to Pending", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
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
      const { cluster, job } = yield* Stage.begun()
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

  it.effect("waits until the Job of an earlier PaymentJob of that name is gone", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
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

  it.effect("suspends a Job that was created when the run had ended already: a request may be held up for long", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      const { labels = {}, ownerReferences = [] } = job.metadata
      yield* cluster.create("Job", {
        metadata: { namespace, name: "one-job", labels, ownerReferences },
        spec: job.spec
      })
      yield* Stage.settle
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).spec.suspend, true)
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("asks for the pods of an earlier Job before it makes another: one may not have been told of", () =>
    Effect.gen(function* () {
      const { cluster, job } = yield* Stage.begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.collectAtOnce(false)
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "Pod" ? [] : [event]))
      yield* cluster.create("Pod", podOf(job, "one-job-a"))
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* Stage.settle
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      assert.include((yield* Stage.statusOf("one")).message, "one-job-a")
    }).pipe(Effect.provide(Stage.layer))
  )
})
