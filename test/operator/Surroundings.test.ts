/** What the operator makes of what watches tell. */
import { assert, describe, it } from "@effect/vitest"
import type { JobObject, PaymentJobObject, PodObject } from "../../src/domain/ClusterObjects.ts"
import { SeenObjects } from "../../src/operator/SeenObjects.ts"
import { Surroundings } from "../../src/operator/Surroundings.ts"
import { ended, spec, waiting } from "../support/PaymentJobs.ts"

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
    surroundings.onPaymentJobs({ _tag: "Synced", objects: [] }, 0)
    surroundings.onPaymentJobs({ _tag: "Applied", object: paymentJob(50, 20) }, 0)
    surroundings.onPaymentJobs({ _tag: "Applied", object: paymentJob(40, 10) }, 0)
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.spec.maxMessages, 20)
    surroundings.onPaymentJobs({ _tag: "Synced", objects: [paymentJob(30, 10)] }, 0)
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.spec.maxMessages, 10)
  })

  it("is news but once, and none where only its version is another", () => {
    const surroundings = new Surroundings()
    const applied = (object: PaymentJobObject) => surroundings.onPaymentJobs({ _tag: "Applied", object }, 0)
    surroundings.onPaymentJobs({ _tag: "Synced", objects: [] }, 0)
    assert.deepStrictEqual(applied(paymentJob(50, 20)), ["a/one"])
    assert.deepStrictEqual(applied(paymentJob(51, 20)), [])
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.resourceVersion, "51")
    assert.deepStrictEqual(applied(paymentJob(52, 30)), ["a/one"])
    const back = surroundings.onPaymentJobs({ _tag: "Synced", objects: [paymentJob(52, 10)] }, 0)
    assert.deepStrictEqual(back, ["a/one"])
    assert.strictEqual(surroundings.sightOf("a/one", 0)?.paymentJob.spec.maxMessages, 10)
  })

  it("was written by us: the watch's telling of it is no news, but that of a later change is", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    const changed = { ...version("a", "one", 6), isDeleting: true }
    seen.replace([version("a", "one", 1)])
    seen.answered(changed, 0)
    assert.isFalse(seen.isNews(changed, 1))
    assert.isTrue(seen.isNews(version("a", "one", 7), 1))
    // what was not told for so long is not believed any more: who looked meanwhile has seen the older one
    assert.isTrue(seen.isNews(changed, 60_000))
  })

  it("knows what was written until the watch of that namespace has told of it, and not that of another", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    seen.replace([version("a", "one", 1), version("b", "two", 2)])
    seen.answered(version("a", "one", 5), 0)
    seen.apply(version("b", "two", 9))
    assert.strictEqual(seen.get("a/one", 1)?.resourceVersion, "5")
    seen.apply(version("a", "one", 6))
    assert.strictEqual(seen.get("a/one", 1)?.resourceVersion, "6")
  })

  it("tells once of a write that the watch has passed over or not told of for too long, and of none that it has", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    seen.replace([])
    for (const [name, at] of [
      ["passed", 5],
      ["late", 7],
      ["later", 8]
    ] as const)
      seen.answered(version("a", name, at), 0)
    seen.apply(version("a", "other", 6))
    const lost = (nowMillis: number) => seen.lost(nowMillis).map(({ name }) => name)
    assert.deepStrictEqual([lost(1), lost(1)], [["passed"], []])
    seen.answered(version("b", "told", 9), 0)
    seen.apply(version("b", "told", 9))
    assert.deepStrictEqual(lost(60_000), ["late", "later"])
    assert.deepStrictEqual(lost(60_000), [])
  })

  it("does not know any more what was written and gone before the answer came", () => {
    const seen = new SeenObjects<ReturnType<typeof version>>()
    seen.replace([])
    seen.apply(version("a", "one", 5))
    seen.remove(version("a", "one", 6))
    seen.answered(version("a", "one", 5), 0)
    assert.isUndefined(seen.get("a/one", 1))
  })

  it("is no news of a new pod that gets on: its Job tells of it; anything else of a pod is", () => {
    const surroundings = new Surroundings()
    const pod = (name: string, resourceVersion: number, status: NonNullable<PodObject["status"]>): PodObject => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...paymentJob(resourceVersion).metadata, name, uid: `uid-of-${name}`, labels: { paymentjob: "one" } },
      spec: { containers: [] },
      status
    })
    const applied = (object: PodObject) => surroundings.onPods({ _tag: "Applied", object }, 0)
    assert.deepStrictEqual(applied(pod("a", 1, { phase: "Pending" })), [])
    assert.deepStrictEqual(applied(pod("a", 2, { phase: "Running" })), [])
    assert.deepStrictEqual(applied(pod("a", 3, ended(0))), ["a/one"])
    assert.deepStrictEqual(applied(pod("b", 4, waiting("ErrImagePull", ""))), ["a/one"])
    assert.deepStrictEqual(applied(pod("b", 5, { phase: "Running" })), ["a/one"])
    const deleting = pod("c", 6, { phase: "Running" })
    const metadata = { ...deleting.metadata, deletionTimestamp: "2026-01-01T00:00:09Z", deletionGracePeriodSeconds: 3 }
    assert.deepStrictEqual(applied({ ...deleting, metadata }), ["a/one"])
    const gone = { _tag: "Deleted", object: pod("c", 7, { phase: "Running" }) } as const
    assert.deepStrictEqual(surroundings.onPods(gone, 0), ["a/one"])
  })

  it("of a Job that is not ours is nothing", () => {
    const surroundings = new Surroundings()
    const job: JobObject = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { ...paymentJob(1).metadata, name: "other" },
      spec: { template: { spec: { containers: [] } } }
    }
    assert.deepStrictEqual(surroundings.onJobs({ _tag: "Synced", objects: [job] }, 0), [])
  })
})
