/** What the operator makes of what watches tell. */
import { assert, describe, it } from "@effect/vitest"
import type { JobObject, PaymentJobObject } from "../../src/domain/ClusterObjects.ts"
import { SeenObjects } from "../../src/operator/SeenObjects.ts"
import { Surroundings } from "../../src/operator/Surroundings.ts"
import { spec } from "../support/PaymentJobs.ts"

const paymentJob = (resourceVersion: number, maxMessages = 10): PaymentJobObject => ({
  apiVersion: "payments.example.com/v1alpha1",
  kind: "PaymentJob",
  metadata: {
    name: "one",
    namespace: "a",
    uid: "uid-of-one",
    resourceVersion: `${resourceVersion}`,
    creationTimestamp: "2026-01-01T00:00:00Z"
  },
  spec: { ...spec, maxMessages }
})

const version = (namespace: string, name: string, resourceVersion: number) => ({
  namespace,
  name,
  resourceVersion: `${resourceVersion}`
})

describe("What was seen", () => {
  it("is void when everything is told anew, though that be older", () => {
    const surroundings = new Surroundings()
    surroundings.onPaymentJobs({ _tag: "Synced", objects: [] })
    surroundings.onPaymentJobs({ _tag: "Applied", object: paymentJob(50, 20) })
    surroundings.onPaymentJobs({ _tag: "Applied", object: paymentJob(40, 10) })
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.spec.maxMessages, 20)
    surroundings.onPaymentJobs({ _tag: "Synced", objects: [paymentJob(30, 10)] })
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.spec.maxMessages, 10)
  })

  it("knows what was written until the watch of that namespace has told of it, and not that of another", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    seen.replace([version("a", "one", 1), version("b", "two", 2)])
    seen.wrote(version("a", "one", 5), 0)
    seen.apply(version("b", "two", 9))
    assert.strictEqual(seen.get("a/one", 1)?.resourceVersion, "5")
    seen.apply(version("a", "one", 6))
    assert.strictEqual(seen.get("a/one", 1)?.resourceVersion, "6")
  })

  it("does not know any more what was written and gone before the answer came", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    seen.replace([])
    seen.apply(version("a", "one", 5))
    seen.remove(version("a", "one", 6))
    seen.wrote(version("a", "one", 5), 0)
    assert.isUndefined(seen.get("a/one", 1))
  })

  it("of a Job that is not ours is nothing", () => {
    const surroundings = new Surroundings()
    const job: JobObject = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { ...paymentJob(1).metadata, name: "other" },
      spec: { template: { spec: { containers: [] } } }
    }
    assert.deepStrictEqual(surroundings.onJobs({ _tag: "Synced", objects: [job] }), [])
  })
})
