/** What happens is told to people in events: each change once, whatever goes wrong meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { ClusterAway, Refused } from "../../src/domain/ClusterError.ts"
import { ClusterTrouble, type Trouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as Stage from "../support/OperatorStage.ts"
import { complete, namespace, paymentJob, running, setJob } from "../support/PaymentJobs.ts"

const away: Trouble = { reason: new ClusterAway({ detail: "no answer", retryAfterMillis: undefined }) }

/** Events go wrong in this way until it is told otherwise. */
const eventsMeet = (trouble: Trouble | undefined) =>
  ClusterTrouble.use(({ onRequest }) =>
    onRequest(({ kind, verb }) => (kind === "Event" && verb === "create" ? trouble : undefined))
  )

const one = { namespace, name: "one" }

describe("An event", () => {
  for (const [what, trouble] of [
    ["the API server was away", away],
    ["its answer was lost", { ...away, afterEffect: true }]
  ] as const) {
    it.effect(`is told once though ${what} when it was first told`, () =>
      Effect.gen(function* () {
        const { cluster } = yield* Stage.begun()
        yield* eventsMeet(trouble)
        yield* setJob(cluster, "one-job", complete)
        yield* TestClock.adjust("1 minute")
        assert.notStrictEqual((yield* Stage.statusOf("one")).phase, "Succeeded", "what is written first is not told")
        yield* eventsMeet(undefined)
        yield* TestClock.adjust("2 minutes")
        assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "JobSucceeded"])
        assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
      }).pipe(Effect.provide(Stage.layer))
    )
  }

  it.effect("that the cluster does not take holds nothing up", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      yield* eventsMeet({ reason: new Refused({ detail: "exceeded quota" }) })
      yield* setJob(cluster, "one-job", complete)
      yield* Stage.settle
      assert.strictEqual((yield* Stage.statusOf("one")).phase, "Succeeded")
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("is told again when the same happens again", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      yield* setJob(cluster, "one-job", running)
      yield* Stage.settle
      for (const suspend of [true, false, true, false]) {
        yield* cluster.patch("PaymentJob", one, { spec: { suspend } })
        yield* Stage.settle
      }
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "Suspended", "Resumed", "Suspended", "Resumed"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("tells of each Job that was made again, also when it had no pod yet", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      for (let times = 0; times < 2; times += 1) {
        yield* cluster.delete("Job", { namespace, name: "one-job" })
        yield* Stage.settle
      }
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "JobRecreated", "JobRecreated"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("is told by the next operator where the one that acted was killed before it could", () =>
    Effect.gen(function* () {
      const { cluster, kill } = yield* Stage.begun()
      yield* eventsMeet(away)
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* Stage.settle
      const { metadata } = yield* cluster.get("Job", { namespace, name: "one-job" })
      yield* kill
      yield* eventsMeet(undefined)
      yield* Stage.start()
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "JobRecreated"])
      assert.strictEqual((yield* cluster.get("Job", { namespace, name: "one-job" })).metadata.uid, metadata.uid)
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("does not tell of a Job that was made again where a watch was only late to tell of it", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      const trouble = yield* ClusterTrouble
      yield* trouble.onEvent((event) => ("object" in event && event.object.kind === "Job" ? [] : [event]))
      yield* cluster.create("PaymentJob", paymentJob("two"))
      yield* TestClock.adjust("30 minutes")
      yield* cluster.patch("PaymentJob", { namespace, name: "two" }, { metadata: { labels: { seen: "again" } } })
      yield* Stage.settle
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "JobCreated"])
    }).pipe(Effect.provide(Stage.layer))
  )

  it.effect("tells of a status that cannot be read, which is left as it is and runs nothing, until it can", () =>
    Effect.gen(function* () {
      const { cluster } = yield* Stage.begun()
      yield* cluster.patchStatus("PaymentJob", one, { status: { phase: "Done" } })
      yield* cluster.delete("Job", { namespace, name: "one-job" })
      yield* TestClock.adjust("3 hours")
      assert.deepStrictEqual(yield* Stage.reasonsTold, ["JobCreated", "StatusInvalid"])
      assert.strictEqual((yield* cluster.get("PaymentJob", one)).status?.["phase"], "Done")
      assert.deepStrictEqual(yield* cluster.list("Job", { namespaces: [] }), [])
      yield* cluster.patchStatus("PaymentJob", one, { status: { phase: "Pending" } })
      yield* Stage.settle
      assert.strictEqual((yield* cluster.list("Job", { namespaces: [] })).length, 1)
    }).pipe(Effect.provide(Stage.layer))
  )
})
