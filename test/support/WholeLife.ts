/** What may happen to PaymentJobs, so that an operator uses all that it is granted. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { kubectl } from "./Manifests.ts"
import { type Ground, podOf, reaches, says, soon } from "./OperatorGround.ts"
import { ended, waiting } from "./PaymentJobs.ts"
import { endedWell, runningPod } from "./PlayedPods.ts"
import { eventually } from "./servers/eventually.ts"

/** From its creation to its end, with a trouble on the way. */
const success = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("good", { ttlSecondsAfterFinished: 3_600 })
    const { metadata } = yield* podOf(ground, "good-job")
    yield* ground.setPod(metadata.name, waiting("CreateContainerConfigError", 'secret "rabbitmq-login" not found'))
    yield* says(ground, "good", "Stalled", "SecretMissing")
    yield* ground.setPod(metadata.name, runningPod)
    yield* says(ground, "good", "Stalled", undefined)
    yield* ground.setPod(metadata.name, endedWell)
    yield* reaches(ground, "good", "Succeeded")
    yield* eventually(
      Effect.map(ground.job("good-job"), ({ spec }) => assert.strictEqual(spec.ttlSecondsAfterFinished, 3_600)),
      soon
    )
  })

const failure = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("bad", { backoffLimit: 0 })
    const { metadata } = yield* podOf(ground, "bad-job")
    yield* ground.setPod(metadata.name, ended(1))
    yield* reaches(ground, "bad", "Failed")
  })

const suspension = (ground: Ground) =>
  Effect.gen(function* () {
    yield* ground.create("paused")
    yield* reaches(ground, "paused", "Running")
    for (const [suspend, reason] of [
      [true, "Suspended"],
      [false, undefined]
    ] as const) {
      yield* ground.cluster.patch("PaymentJob", { namespace: ground.namespace, name: "paused" }, { spec: { suspend } })
      yield* says(ground, "paused", "Suspended", reason)
    }
  })

const conflict = (ground: Ground) =>
  Effect.gen(function* () {
    const { namespace } = ground
    yield* kubectl("create", "job", "taken-job", "--image=other", "--namespace", namespace)
    yield* ground.create("taken")
    yield* says(ground, "taken", "Stalled", "NameConflict")
  })

/** Where no pod may be made, what the cluster's own controller says of it is asked for. */
export const podlessness = (ground: Ground) =>
  Effect.gen(function* () {
    yield* kubectl("create", "quota", "none", "--hard=pods=0", "--namespace", ground.namespace)
    yield* ground.create("podless")
    // asked for after 10 s, and every 30 s from then on
    yield* eventually(
      Effect.map(ground.condition("podless", "Stalled"), (found) =>
        assert.strictEqual(found?.reason, "PodsNotCreated")
      ),
      { deadline: "1 minute", every: "100 millis" }
    )
  })

/** The Jobs go with their PaymentJobs, and no other does. */
export const deletion = (ground: Ground) =>
  Effect.gen(function* () {
    const { cluster, namespace } = ground
    for (const { metadata } of yield* ground.paymentJobs)
      yield* cluster.delete("PaymentJob", { namespace, name: metadata.name })
    yield* eventually(
      Effect.map(ground.jobs, (jobs) =>
        assert.deepStrictEqual(
          jobs.map(({ metadata }) => metadata.name),
          ["taken-job"]
        )
      ),
      soon
    )
  })

/** All that may happen to PaymentJobs, side by side; but what keeps every pod from being made. */
export const wholeLife = (ground: Ground) =>
  Effect.all([success(ground), failure(ground), suspension(ground), conflict(ground)], { concurrency: "unbounded" })
