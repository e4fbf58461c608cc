/**
 * From a PaymentJob to the payments: a real API server and its controllers, the operator as a process, the pods of its
 * Jobs as processes, RabbitMQ and PostgreSQL.
 */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as JobRuns from "../support/JobRuns.ts"
import { NodeAgent } from "../support/kubernetes/NodeAgent.ts"
import { OperatorPlane } from "../support/OperatorPlane.ts"
import * as Stage from "../support/Stage.ts"
import { kubectl } from "../support/servers/Kubernetes.ts"
import * as TableLock from "../support/TableLock.ts"

// long enough to be seen in the midst of it
const [published, limit] = [3500, 3000]

/** Publishes more than the limit, and starts a PaymentJob for it. */
const begin = (run: JobRuns.JobRun, changes: Parameters<JobRuns.JobRun["create"]>[1] = {}) =>
  Effect.gen(function* () {
    yield* Stage.publish(run.stage, Stage.payments(published))
    yield* run.create("run", { maxMessages: limit, ...changes })
  })

/** The same, slow enough that nobody who looks for a moment in the midst of it comes too late. */
const beginSlowly = (...[run, changes]: Parameters<typeof begin>) =>
  Effect.andThen(Stage.slowDown(run.stage, 20), begin(run, changes))

/** Its pod in the midst of its work, with a batch in flight until the lock is released. */
const atHalf = (run: JobRuns.JobRun) =>
  Effect.gen(function* () {
    const [pod] = yield* JobRuns.runningPods(run)
    yield* Stage.waitForRows(run.stage, 200)
    const lock = yield* TableLock.hold(run.stage.databaseUrl, "payments")
    yield* lock.isWaitedFor
    return { lock, pod: pod?.metadata.name ?? "" }
  })

/** Waits until a pod's process has heard that it is to stop. */
const isStopping = ({ agent }: JobRuns.JobRun, pod: string) =>
  JobRuns.waitUntil(Effect.sync(() => assert.include(agent.logs(pod).join("\n"), "stopping")))

/** Exactly the limit, each once, by one run; the rest waits in the queue. */
const endsExactly = (run: JobRuns.JobRun) =>
  Effect.gen(function* () {
    const result = { stored: limit, duplicates: 0, deadLettered: 0 }
    yield* JobRuns.statusIs(run, "run", { phase: "Succeeded", result })
    assert.deepStrictEqual(yield* JobRuns.storedIn(run), { rows: limit, ids: limit, runs: 1 })
    assert.strictEqual(yield* Stage.depth(run.stage), published - limit)
  })

layer(NodeAgent.layer, { excludeTestServices: true, timeout: "60 seconds" })("A PaymentJob", (it) => {
  for (const runtime of Stage.runtimes) {
    it.effect(`stores its payments, tells how many, never runs again, and its Job goes with it (${runtime})`, () =>
      Effect.gen(function* () {
        const run = yield* JobRuns.make({ runtime })
        const { cluster, namespace, stage } = run
        yield* Stage.publish(stage, [
          ...Stage.payments(400),
          ...Stage.payments(20),
          ...Array.from({ length: 5 }, (_, n) => ({ id: `bad-${n}`, body: "{" })),
          ...Stage.payments(300, "rest")
        ])
        yield* run.create("run", { maxMessages: 425 })
        const result = { stored: 400, duplicates: 20, deadLettered: 5 }
        yield* JobRuns.statusIs(run, "run", { phase: "Succeeded", result })
        assert.strictEqual(yield* Stage.depth(stage), 300)
        assert.strictEqual((yield* Stage.rows(stage)).length, 400)

        // finished work stays finished: what the operator does for another one comes after what it would do for this
        yield* cluster.delete("Job", { namespace, name: "run-job" })
        yield* run.create("other", { maxMessages: 100 })
        yield* JobRuns.statusIs(run, "other", { phase: "Succeeded" })
        assert.deepStrictEqual(
          (yield* JobRuns.jobsOf(run)).map(({ metadata }) => metadata.name),
          ["other-job"]
        )
        assert.strictEqual(yield* Stage.depth(stage), 200)
        yield* JobRuns.statusIs(run, "run", { phase: "Succeeded", result })

        yield* cluster.delete("PaymentJob", { namespace, name: "other" })
        yield* JobRuns.waitUntil(Effect.map(JobRuns.jobsOf(run), (jobs) => assert.deepStrictEqual(jobs, [])))
        yield* JobRuns.podsAreGone(run)
      })
    )
  }

  it.effect("whose pod is evicted at half goes on where it was, and nothing has failed", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "bun" })
      // a second failure would be the end
      yield* beginSlowly(run, { backoffLimit: 0 })
      const { lock, pod } = yield* atHalf(run)
      yield* run.agent.evict(run.namespace, pod)
      yield* isStopping(run, pod)
      yield* lock.release
      yield* endsExactly(run)
      assert.include(run.agent.logs(pod).join("\n"), "stopped the run")
      assert.strictEqual(run.agent.exitCode(pod), 4)
      const [job] = yield* JobRuns.jobsOf(run)
      assert.deepStrictEqual([job?.status?.succeeded, job?.status?.failed ?? 0], [1, 0])
    })
  )

  it.effect("that is suspended at half goes on when it is not any more", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "node" })
      yield* beginSlowly(run, { backoffLimit: 0 })
      const { lock, pod } = yield* atHalf(run)
      const { cluster, namespace } = run
      yield* cluster.patch("PaymentJob", { namespace, name: "run" }, { spec: { suspend: true } })
      yield* isStopping(run, pod)
      yield* lock.release
      yield* JobRuns.podsAreGone(run)
      assert.strictEqual(run.agent.exitCode(pod), 4)
      yield* JobRuns.waitUntil(
        Effect.map(JobRuns.conditionOf(run, "run", "Suspended"), (said) => assert.strictEqual(said?.["status"], "True"))
      )
      assert.isBelow((yield* Stage.rows(run.stage)).length, limit)
      yield* cluster.patch("PaymentJob", { namespace, name: "run" }, { spec: { suspend: false } })
      yield* endsExactly(run)
    })
  )

  it.effect("with three pods shares its count among them", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "bun" })
      yield* begin(run, { parallelism: 3 })
      yield* endsExactly(run)
      const [job] = yield* JobRuns.jobsOf(run)
      assert.deepStrictEqual([job?.status?.succeeded, job?.status?.failed ?? 0], [3, 0])
    })
  )

  it.effect("with a wrong configuration fails at once, and says why", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "node" })
      yield* begin(run, { env: [{ name: "BATCH_SIZE", value: "none" }] })
      yield* JobRuns.statusIs(run, "run", { phase: "Failed" })
      const { message } = yield* run.statusOf("run")
      assert.include(String(message), "PodFailurePolicy")
      const pods = yield* JobRuns.podsOf(run)
      assert.deepStrictEqual(
        pods.map(({ metadata }) => run.agent.exitCode(metadata.name)),
        [2]
      )
      assert.strictEqual(yield* Stage.depth(run.stage), published)
    })
  )

  it.effect("whose pod is killed at half is tried again, and goes on where it was", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "node" })
      yield* beginSlowly(run)
      const { lock, pod } = yield* atHalf(run)
      yield* run.agent.signal(pod, "SIGKILL")
      yield* JobRuns.waitUntil(Effect.sync(() => assert.strictEqual(run.agent.exitCode(pod), 128 + 9)))
      yield* lock.release
      yield* endsExactly(run)
      const [job] = yield* JobRuns.jobsOf(run)
      assert.deepStrictEqual([job?.status?.succeeded, job?.status?.failed], [1, 1])
    })
  )

  it.effect("whose Job is deleted by hand at half gets another one, and goes on where it was", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "bun" })
      yield* beginSlowly(run)
      const { lock, pod } = yield* atHalf(run)
      const [first] = yield* JobRuns.jobsOf(run)
      const plane = yield* OperatorPlane
      yield* kubectl(plane, "delete", "job", "run-job", `--namespace=${run.namespace}`, "--wait=false")
      yield* isStopping(run, pod)
      yield* lock.release
      yield* endsExactly(run)
      const [second] = yield* JobRuns.jobsOf(run)
      assert.notStrictEqual(second?.metadata.uid, first?.metadata.uid)
    })
  )

  it.effect("says which secret is missing, and begins when it is there", () =>
    Effect.gen(function* () {
      const run = yield* JobRuns.make({ runtime: "node", withSecrets: false })
      yield* begin(run)
      yield* JobRuns.waitUntil(
        Effect.map(JobRuns.conditionOf(run, "run", "Stalled"), (said) => {
          assert.strictEqual(said?.["reason"], "SecretMissing")
          assert.include(said?.["message"], "rabbitmq-login")
        })
      )
      yield* run.createSecrets
      yield* endsExactly(run)
    })
  )
})
