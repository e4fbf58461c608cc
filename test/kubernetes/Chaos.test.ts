/** An operator that is killed, again and again, while many PaymentJobs go through. */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import { type Ground, inNamespace, soon } from "../support/OperatorGround.ts"
import { newNamespace, OperatorPlane, startOperator } from "../support/OperatorPlane.ts"
import { ended } from "../support/PaymentJobs.ts"
import { endedWell, playPods, resultOfGoodEnd } from "../support/PlayedPods.ts"
import { isChange, recordedRequests } from "../support/RecordedRequests.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"

const total = 200

/** Alone: a stand-by would wait for the Lease of each that is killed. */
const env = { LEADER_ELECTION: "false" }

const isGood = (name: string) => !name.endsWith("7")

const isUnsettled = ({ status }: { readonly status?: Readonly<Record<string, unknown>> }) =>
  status?.["phase"] !== "Succeeded" && status?.["phase"] !== "Failed"

const unsettled = ({ paymentJobs }: Ground) =>
  Effect.map(paymentJobs, (all) => all.filter(isUnsettled).map(({ metadata }) => metadata.name))

/** Creates some, starts an operator, and kills it at a random moment amid them; how many were not settled then. */
const playRound = (ground: Ground, names: ReadonlyArray<string>, round: number) =>
  Effect.gen(function* () {
    const before = (yield* ground.jobs).length
    const creation = yield* Effect.forkChild(
      Effect.forEach(names, (name) => ground.create(name, { backoffLimit: 0 }), { concurrency: 5 }),
      { startImmediately: true }
    )
    const operator = yield* startOperator({
      namespace: ground.namespace,
      runtime: Chaos.runtimeOf(round),
      env
    })
    const jobs = before + (yield* Random.nextIntBetween(1, names.length))
    yield* eventually(
      Effect.map(ground.jobs, (found) => assert.isAtLeast(found.length, jobs)),
      soon
    )
    // not a wait but the moment of the crash
    yield* realSleep(yield* Random.nextIntBetween(0, 50))
    yield* operator.kill("SIGKILL")
    assert.strictEqual(yield* operator.exit, 128 + 9)
    const left = (yield* unsettled(ground)).length
    yield* Fiber.join(creation)
    return left
  }).pipe(Effect.scoped)

/**
 * One Job each, ever: a name is never created twice, and nothing is deleted. Who is killed while he asks gets no answer,
 * and the API server may record none.
 */
const hasOneJobEach = ({ jobs, namespace }: Ground, names: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const requests = (yield* recordedRequests((yield* OperatorPlane).folder)).filter(
      (request) => request.namespace === namespace && request.resource === "jobs.batch" && isChange(request)
    )
    const created = requests.filter(({ verb }) => verb === "create").map(({ name }) => name)
    assert.strictEqual(new Set(created).size, created.length)
    assert.isFalse(requests.some(({ verb }) => verb === "delete"))
    const owners = (yield* jobs).map(({ metadata }) => metadata.ownerReferences?.[0]?.name)
    assert.deepStrictEqual(owners.toSorted(), names.toSorted())
  })

const isRight = ({ status }: Ground, name: string) =>
  Effect.map(status(name), ({ jobName, message, phase, result }) => {
    assert.strictEqual(jobName, `${name}-job`)
    if (isGood(name)) assert.deepStrictEqual([phase, result], ["Succeeded", resultOfGoodEnd])
    else assert.match(`${phase}: ${message}`, /^Failed: .*ended with exit code 1/)
  })

layer(OperatorPlane.layer, { excludeTestServices: true, timeout: "60 seconds" })("An operator that is killed", (it) => {
  it.effect(
    `at ${Chaos.rounds} random moments while ${total} PaymentJobs go through makes one Job each, and says how each ended`,
    () =>
      Effect.gen(function* () {
        const ground = yield* Effect.flatMap(newNamespace, inNamespace)
        yield* playPods([ground.namespace], (_, name) => Effect.succeed(isGood(name) ? endedWell : ended(1)))
        const names: Array<string> = []
        let counted = 0
        for (let attempt = 0; counted < Chaos.rounds && attempt < Chaos.rounds * 2; attempt++) {
          const batch = Array.from({ length: Math.ceil(total / Chaos.rounds) }, (_, index) => `run-${attempt}-${index}`)
          names.push(...batch)
          if ((yield* playRound(ground, batch, attempt)) > 0) counted++
        }
        assert.strictEqual(counted, Chaos.rounds, "rounds with unsettled PaymentJobs at the kill")
        assert.isAtLeast(names.length, total)
        yield* startOperator({ namespace: ground.namespace, runtime: "node", env })
        yield* eventually(
          Effect.map(unsettled(ground), (left) => assert.deepStrictEqual(left, [])),
          { deadline: "60 seconds", every: "200 millis" }
        )
        yield* Effect.forEach(names, (name) => isRight(ground, name), { concurrency: 10 })
        yield* hasOneJobEach(ground, names)
        const ends = (yield* ground.reasons).filter((reason) => reason === "JobSucceeded" || reason === "JobFailed")
        assert.strictEqual(ends.length, names.length, "each end is told once")
      }).pipe(Chaos.seeded),
    { timeout: (Chaos.rounds + 4) * 20_000 }
  )
})
