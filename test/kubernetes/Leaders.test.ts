/** Several operators at once, as processes on a real API server: one acts, whatever becomes of it and of its clock. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { leads, newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { changesBy, member, named, place, run } from "../support/OperatorTeam.ts"

/** The Lease lasts ten seconds, and is tried for every two; the rest is a busy machine's. */
const takeover = { deadline: "30 seconds" } as const

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("Of several operators", (it) => {
  it.effect("one that was frozen while it led changes nothing when it wakes up, and ends", () =>
    Effect.gen(function* () {
      const ground = yield* place
      const first = yield* member({ ground, user: "first", runtime: "node" })
      yield* first.waitForLine(leads)
      const second = yield* member({ ground, user: "second", runtime: "bun" })
      yield* second.waitForLine(/standing by/)
      yield* run(ground, named("before"))
      yield* first.kill("SIGSTOP")
      yield* second.waitForLine(leads, takeover)
      const before = yield* changesBy(ground, "first")
      assert.isAbove(before.length, 0)
      // it finds all of these new when it wakes up
      yield* run(ground, named("meanwhile"))
      yield* first.kill("SIGCONT")
      assert.strictEqual(yield* first.exit, 1)
      assert.include(first.stderr.join("\n"), "leadership lost")
      yield* run(ground, named("after"))
      assert.deepStrictEqual(yield* changesBy(ground, "first"), before)
      assert.strictEqual((yield* ground.jobs).length, 30)
    })
  )

  it.effect("one acts though their clocks differ by hours, and the other takes over when it is killed", () =>
    Effect.gen(function* () {
      const ground = yield* place
      const hour = 3_600_000
      const first = yield* member({ ground, user: "first", runtime: "bun", skewMillis: -hour })
      yield* first.waitForLine(leads)
      const second = yield* member({ ground, user: "second", runtime: "node", skewMillis: hour })
      yield* second.waitForLine(/standing by/)
      yield* run(ground, named("before"))
      assert.deepStrictEqual(yield* changesBy(ground, "second"), [], "the Lease looks two hours old to it")
      yield* first.kill("SIGKILL")
      yield* second.waitForLine(leads, takeover)
      yield* run(ground, named("after"))
      assert.strictEqual((yield* ground.jobs).length, 20)
    })
  )

  it.effect("one whose lease has no place says so, instead of standing by in silence", () =>
    Effect.gen(function* () {
      const namespace = yield* newNamespace
      const operator = yield* startOperator({ namespace, env: { LEADER_ELECTION_NAMESPACE: `${namespace}-not` } })
      yield* operator.waitForLine(/cannot be taken.*-not.*LEADER_ELECTION_NAMESPACE/, { deadline: "30 seconds" })
      yield* operator.kill("SIGTERM")
      assert.strictEqual(yield* operator.exit, 0)
    })
  )

  it.effect("two that act at the same time make one Job each all the same: names are the fence", () =>
    Effect.gen(function* () {
      const ground = yield* place
      for (const runtime of ["bun", "node"] as const)
        yield* startOperator({ namespace: ground.namespace, runtime, env: { LEADER_ELECTION: "false" } })
      yield* Effect.forEach(["a", "b", "c"], (prefix) => run(ground, named(prefix)), { concurrency: "unbounded" })
      assert.strictEqual((yield* ground.jobs).length, 30)
      assert.strictEqual((yield* ground.pods).length, 30)
      const ends = (yield* ground.reasons).filter((reason) => reason === "JobSucceeded")
      assert.strictEqual(ends.length, 30, "each end is told once")
    })
  )
})
