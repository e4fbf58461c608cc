/** What the operator cannot do without. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Forbidden } from "../../src/domain/ClusterError.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as MemoryCluster from "../../src/layers/memory/MemoryCluster.ts"
import { exitCodeOf } from "../../src/layers/process/Process.ts"
import { permissions, startChecks } from "../../src/operator/StartChecks.ts"

const options = { namespaces: ["payments"], leaseNamespace: "paymentjob-system" }

describe("The operator's start", () => {
  it.effect("names every permission that was not granted, and ends with exit code 3", () =>
    Effect.gen(function* () {
      const trouble = yield* ClusterTrouble
      yield* trouble.onRequest(({ kind, namespace, subresource, verb }) =>
        (kind === "Job" && verb === "create") || subresource === "status" || namespace === "paymentjob-system"
          ? { reason: new Forbidden({ detail: "no", verb, resource: kind, namespace }) }
          : undefined
      )
      const error = yield* Effect.flip(startChecks(options))
      for (const missing of [
        "patch paymentjobs.payments.example.com/status in namespace payments",
        "create jobs.batch in namespace payments",
        "get leases.coordination.k8s.io in namespace paymentjob-system"
      ])
        assert.include(error.message, missing)
      assert.notInclude(error.message, "list jobs.batch")
      assert.strictEqual(exitCodeOf(error), 3)
    }).pipe(Effect.provide(MemoryCluster.layer))
  )

  it.effect("says how to make the kind known where it is not, and ends with exit code 3", () => {
    const unaware = Layer.mock(Cluster, { address: "https://cluster", isServed: () => Effect.succeed(false) })
    return Effect.gen(function* () {
      const error = yield* Effect.flip(startChecks(options))
      assert.include(error.message, "kubectl apply -f manifests/crd-paymentjob.yaml")
      assert.strictEqual(exitCodeOf(error), 3)
    }).pipe(Effect.provide(unaware))
  })

  it("asks for no secret, and for nothing in all namespaces where some are named", () => {
    const asked = permissions(options)
    assert.notInclude(JSON.stringify(asked).toLowerCase(), "secret")
    assert.isTrue(asked.every(({ namespace }) => namespace !== undefined))
    assert.isFalse(asked.some(({ verb }) => verb === "delete"))
  })
})
