/** A PaymentJob as it is read: what cannot be read of it, and whether it has ended. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import type { PaymentJobObject } from "../../src/domain/ClusterObjects.ts"
import { hasEnded, read } from "../../src/operator/PaymentJob.ts"
import { namespace, spec } from "../support/PaymentJobs.ts"
import { now, uid } from "../support/Sights.ts"

describe("A PaymentJob", () => {
  const object = (fields: Partial<PaymentJobObject>): PaymentJobObject => ({
    apiVersion: "payments.example.com/v1alpha1",
    kind: "PaymentJob",
    metadata: { name: "one", namespace, uid, resourceVersion: "1", creationTimestamp: now },
    spec: { ...spec },
    ...fields
  })

  it("whose spec cannot be read is one with a flaw", () => {
    const { flaw, status } = Result.getOrThrow(read(object({ spec: { image: "x" }, status: { phase: "Failed" } })))
    assert.include(flaw, "queueName")
    assert.isTrue(hasEnded(status))
  })

  it("whose status cannot be read is no PaymentJob: it might be a latch", () => {
    assert.isTrue(Result.isSuccess(read(object({}))))
    assert.isTrue(Result.isFailure(read(object({ status: { phase: "Done" } }))))
  })

  it("has ended when its phase or its conditions say so", () => {
    assert.isTrue(hasEnded({ phase: "Failed" }))
    assert.isTrue(hasEnded({ conditions: [{ type: "Complete", status: "True" }] }))
    assert.isFalse(hasEnded({ phase: "Running", conditions: [{ type: "Complete", status: "False" }] }))
  })
})
