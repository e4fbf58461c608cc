/** One namespace in which an operator works: what a test does there, and what it waits for. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Condition } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { OperatorPlane } from "./OperatorPlane.ts"
import { paymentJob } from "./PaymentJobs.ts"
import { isChange, recordedRequests } from "./RecordedRequests.ts"
import { eventually } from "./servers/eventually.ts"

/** Before the first of what is waited for, an operator starts. */
export const soon = { deadline: "40 seconds", every: "20 millis" } as const

const conditionsOf = (status: Readonly<Record<string, unknown>>) =>
  (status["conditions"] ?? []) as ReadonlyArray<Condition>

/** Does something in one namespace, by name. */
export const inNamespace = (namespace: string) =>
  Effect.map(Cluster, (cluster) => {
    const status = (name: string) =>
      Effect.map(cluster.get("PaymentJob", { namespace, name }), ({ status }) => status ?? {})
    return {
      cluster,
      namespace,
      create: (name: string, changes: Parameters<typeof paymentJob>[1] = {}) => {
        const { metadata, ...rest } = paymentJob(name, changes)
        return cluster.create("PaymentJob", { ...rest, metadata: { ...metadata, namespace } })
      },
      job: (name: string) => cluster.get("Job", { namespace, name }),
      paymentJobs: cluster.list("PaymentJob", { namespaces: [namespace] }),
      jobs: cluster.list("Job", { namespaces: [namespace] }),
      pods: cluster.list("Pod", { namespaces: [namespace] }),
      setPod: (name: string, status: object) => cluster.patchStatus("Pod", { namespace, name }, { status }),
      status,
      condition: (name: string, type: string) =>
        Effect.map(status(name), (found) => conditionsOf(found).find((condition) => condition.type === type)),
      reasons: Effect.map(cluster.list("Event", { namespaces: [namespace] }), (events) =>
        events.filter(({ involvedObject }) => involvedObject.kind === "PaymentJob").map(({ reason }) => reason)
      )
    }
  })

export type Ground = Effect.Success<ReturnType<typeof inNamespace>>

export const reaches = ({ status }: Ground, name: string, phase: string) =>
  eventually(
    Effect.map(status(name), (found) => assert.strictEqual(found["phase"], phase)),
    soon
  )

/** Waits until a condition has this reason; none means that it is not said any more. */
export const says = ({ condition }: Ground, name: string, type: string, reason: string | undefined) =>
  eventually(
    Effect.map(condition(name, type), (found) => assert.strictEqual(found?.reason, reason)),
    soon
  )

/** The pod of a Job, when its controller has made it. */
export const podOf = ({ pods }: Ground, job: string) =>
  eventually(
    Effect.map(pods, (all) => {
      const pod = all.find(({ metadata }) => metadata.ownerReferences?.[0]?.name === job)
      if (pod === undefined) assert.fail(`the Job ${job} has no pod`)
      return pod
    }),
    soon
  )

/** Jobs that were created, each as often as it was, as far as the API server has recorded it. */
export const createdJobs = ({ namespace }: Ground) =>
  Effect.gen(function* () {
    const requests = yield* recordedRequests((yield* OperatorPlane).folder)
    return requests
      .filter((request) => request.namespace === namespace && isChange(request))
      .filter(({ resource, verb }) => verb === "create" && resource === "jobs.batch")
      .map(({ name }) => name)
      .toSorted()
  })

export const hasOneJobEach = (ground: Ground, names: ReadonlyArray<string>) =>
  Effect.map(createdJobs(ground), (jobs) => assert.deepStrictEqual(jobs, names.map((name) => `${name}-job`).toSorted()))
