/** A thousand PaymentJobs at once, and what an operator that starts when all is settled does about them: nothing. */
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { page } from "../support/HealthPages.ts"
import { inNamespace, reaches } from "../support/OperatorGround.ts"
import { administrator, leads, newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { endedWell, playPods } from "../support/PlayedPods.ts"
import { isChange, recordedRequests } from "../support/RecordedRequests.ts"
import { eventually } from "../support/servers/eventually.ts"
import { freePort } from "../support/servers/freePort.ts"
import { firstColumn, operatorGuide, section, textOf } from "../support/Walkthrough.ts"

const total = 1_000
const names = Array.from({ length: total }, (_, index) => `run-${index}`)

const patiently = { deadline: "200 seconds", every: "1 second" } as const

/** The sum of a counter's series. */
const counted = (metrics: string, name: string): number =>
  [...metrics.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, "gm"))].reduce(
    (sum, [, value]) => sum + Number(value),
    0
  )

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("A thousand PaymentJobs", (it) => {
  it.effect(
    "at once get a Job each and come to their end, and an operator that starts then writes nothing but its Lease",
    () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const ground = yield* inNamespace(namespace)
        const [firstPort, firstUser] = [yield* freePort, "who-is-first"]
        const first = yield* startOperator({
          namespace,
          runtime: "bun",
          kubeconfig: yield* administrator(firstUser),
          env: { HEALTH_PORT: `${firstPort}` }
        })
        yield* first.waitForLine(leads)
        yield* playPods([namespace], () => Effect.succeed(endedWell))
        yield* Effect.forEach(names, (name) => ground.create(name), { concurrency: 50, discard: true })
        // asked of who knows: to list a thousand each second is work for everybody
        yield* eventually(
          Effect.map(page(firstPort, "/metrics"), ({ text }) =>
            assert.strictEqual(counted(text, "paymentjob_ended_total"), total)
          ),
          patiently
        )
        const phases = (yield* ground.paymentJobs).map(({ status }) => status?.["phase"])
        assert.strictEqual(phases.filter((phase) => phase === "Succeeded").length, total)
        const asked = (yield* recordedRequests((yield* OperatorPlane).folder)).filter(
          ({ resource, user, verb }) => user === firstUser && verb !== "watch" && !resource.startsWith("leases.")
        )
        assert.isAtMost(asked.length, 8 * total, "requests in all their lives")
        const jobs = yield* ground.jobs
        const owners = jobs.map(({ metadata }) => metadata.ownerReferences?.[0]?.name)
        assert.deepStrictEqual(owners.toSorted(), names.toSorted())
        assert.strictEqual((yield* ground.pods).length, total, "no Job was made twice")
        yield* first.kill("SIGTERM")
        assert.strictEqual(yield* first.exit, 0)

        const user = "who-starts-again"
        const kubeconfig = yield* administrator(user)
        const port = yield* freePort
        const second = yield* startOperator({
          namespace,
          runtime: "node",
          kubeconfig,
          env: { HEALTH_PORT: `${port}` }
        })
        yield* second.waitForLine(leads)
        yield* eventually(
          Effect.map(page(port, "/metrics"), ({ text }) =>
            assert.isAtLeast(counted(text, "controller_runtime_reconcile_total"), total)
          ),
          patiently
        )
        const requests = (yield* recordedRequests((yield* OperatorPlane).folder)).filter((one) => one.user === user)
        assert.deepStrictEqual(requests.filter(isChange), [])
        assert.isTrue(requests.some(({ resource, verb }) => verb === "patch" && resource.startsWith("leases.")))
        yield* ground.create("last")
        yield* reaches(ground, "last", "Succeeded")
        const watched = firstColumn(section(yield* textOf(operatorGuide), "Watching it"))
        assert.isAbove(watched.length, 10)
        yield* eventually(
          Effect.map(page(port, "/metrics"), ({ text }) => {
            for (const name of watched) assert.include(text, name, "the guide names it")
          }),
          patiently
        )
      }),
    { timeout: 300_000 }
  )
})
