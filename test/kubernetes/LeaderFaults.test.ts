/** What goes wrong between several operators and the API server that has their Lease: one acts all the same. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import * as AnsweringProxy from "../support/AnsweringProxy.ts"
import { throughProxy } from "../support/Clusters.ts"
import { waitForStatus } from "../support/HealthPages.ts"
import { createdJobs, hasOneJobEach, reaches } from "../support/OperatorGround.ts"
import { leads, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { changesBy, type Member, member, named, place, run } from "../support/OperatorTeam.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"

const patchesLease = ({ method, path }: AnsweringProxy.ProxiedRequest) => method === "PATCH" && /\/leases\//.test(path)

/** A pod of a Deployment: started again whenever it has ended. */
const kept = (given: Member) =>
  Effect.forkScoped(Effect.forever(Effect.scoped(Effect.flatMap(member(given), untilEnd))))
const untilEnd = ({ exit }: Effect.Success<ReturnType<typeof member>>) => exit

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("Of several operators", (it) => {
  for (const [code, reason, headers] of [
    [429, "TooManyRequests", { "retry-after": "1" }],
    [409, "Conflict", {}]
  ] as const) {
    it.effect(`the one that leads goes on though its Lease is answered with ${code}, and the other does not act`, () =>
      Effect.gen(function* () {
        const ground = yield* place
        const proxy = yield* AnsweringProxy.start(yield* OperatorPlane)
        const first = yield* startOperator({
          namespace: ground.namespace,
          runtime: "bun",
          kubeconfig: proxy.kubeconfig
        })
        yield* first.waitForLine(leads)
        const second = yield* member({ ground, user: "second", runtime: "node" })
        yield* second.waitForLine(/standing by/)
        let refused = 0
        // each renewal gets through at its third try
        yield* proxy.decide((request) => {
          if (!patchesLease(request)) return AnsweringProxy.pass
          refused += 1
          return refused % 3 === 0 ? AnsweringProxy.pass : AnsweringProxy.refusal(code, reason, headers)
        })
        yield* run(ground, named("meanwhile"))
        yield* eventually(
          Effect.sync(() => assert.isAtLeast(refused, 9)),
          { deadline: "40 seconds" }
        )
        yield* run(ground, named("after"))
        assert.deepStrictEqual(yield* changesBy(ground, "second"), [])
        assert.notMatch(second.stdout.join("\n"), leads)
        yield* hasOneJobEach(ground, [...named("meanwhile"), ...named("after")])
      })
    )
  }

  it.effect("one acts after the API server was killed with both of them up, and no Job is made twice", () =>
    Effect.gen(function* () {
      const { apiServer } = yield* OperatorPlane
      const ground = yield* place
      yield* kept({ ground, user: "first", runtime: "node" })
      yield* kept({ ground, user: "second", runtime: "bun" })
      yield* run(ground, named("before"))
      yield* Effect.forEach(named("amid"), (name) => ground.create(name), { concurrency: 10 })
      yield* apiServer.kill
      yield* apiServer.start
      yield* Effect.forEach(named("amid"), (name) =>
        eventually(reaches(ground, name, "Succeeded"), { deadline: "40 seconds" })
      )
      yield* run(ground, named("after"))
      const actors = yield* Effect.forEach(["first", "second"], (user) =>
        Effect.map(changesBy(ground, user), (changes) => changes.filter(({ name = "" }) => name.startsWith("after-")))
      )
      assert.deepStrictEqual(
        actors.map((changes) => changes.length > 0).toSorted(),
        [false, true],
        "one of them has changed something since"
      )
      // what it was about to record when it was killed it has not
      const created = yield* createdJobs(ground)
      assert.strictEqual(new Set(created).size, created.length, "no Job was made twice")
      assert.strictEqual((yield* ground.jobs).length, 30)
      assert.strictEqual((yield* ground.pods).length, 30)
    })
  )

  it.effect("a stand-by that cannot reach the API server is not ready until it can", () =>
    Effect.gen(function* () {
      const ground = yield* place
      const first = yield* member({ ground, user: "first", runtime: "node" })
      yield* first.waitForLine(leads)
      const { kubeconfig, proxy } = yield* throughProxy(yield* OperatorPlane)
      const port = yield* freePort
      const second = yield* startOperator({
        namespace: ground.namespace,
        runtime: "bun",
        kubeconfig,
        env: { HEALTH_PORT: `${port}` }
      })
      yield* second.waitForLine(/standing by/)
      yield* waitForStatus(port, "/readyz", 200)
      yield* proxy.cut
      yield* waitForStatus(port, "/readyz", 503)
      yield* proxy.heal
      yield* waitForStatus(port, "/readyz", 200)
      assert.notMatch(second.stdout.join("\n"), leads)
    })
  )
})
