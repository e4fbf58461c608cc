/** PaymentJobs, Jobs and pods as tests of the operator want them. */
import type {
  JobObject,
  JobStatus,
  New,
  PaymentJobObject,
  PodObject,
  PodStatus
} from "../../src/domain/ClusterObjects.ts"
import type { Cluster } from "../../src/domain/ports/Cluster.ts"
import type { PaymentJobSpec } from "../../src/operator/PaymentJob.ts"

export const namespace = "payments"

export const spec: PaymentJobSpec = {
  queueName: "payments",
  image: "payments-worker:1",
  maxMessages: 10,
  rabbitmq: { host: "rabbitmq", port: 5672, secretRef: { name: "rabbitmq-login" } },
  postgres: { host: "postgres", database: "payments_db", secretRef: { name: "postgres-login" } }
}

/** A PaymentJob to create. */
export const paymentJob = (name: string, changes: Partial<PaymentJobSpec> = {}): New<PaymentJobObject> => ({
  metadata: { name, namespace },
  spec: { ...spec, ...changes }
})

/** The statuses that the cluster's own controller gives a Job. */
export const running: JobStatus = { active: 1, startTime: "2026-01-01T00:00:01Z" }
export const complete: JobStatus = {
  active: 0,
  succeeded: 1,
  startTime: "2026-01-01T00:00:01Z",
  completionTime: "2026-01-01T00:01:00Z",
  conditions: [{ type: "Complete", status: "True", reason: "CompletionsReached", message: "reached" }]
}
export const failed: JobStatus = {
  active: 0,
  failed: 1,
  startTime: "2026-01-01T00:00:01Z",
  conditions: [
    {
      type: "Failed",
      status: "True",
      reason: "BackoffLimitExceeded",
      message: "Job has reached the specified backoff limit",
      lastTransitionTime: "2026-01-01T00:02:00Z"
    }
  ]
}

type Service = Cluster["Service"]

/** Does the cluster's own controller's part. */
export const setJob = (cluster: Service, name: string, status: JobStatus) =>
  cluster.patchStatus("Job", { namespace, name }, { status })

/** A pod as the cluster's own controller makes it of a Job. */
export const podOf = (job: JobObject, name: string): New<PodObject> => ({
  metadata: {
    name,
    namespace,
    labels: job.spec.template.metadata?.labels ?? {},
    annotations: job.spec.template.metadata?.annotations ?? {},
    ownerReferences: [
      { apiVersion: "batch/v1", kind: "Job", name: job.metadata.name, uid: job.metadata.uid, controller: true }
    ]
  },
  spec: job.spec.template.spec
})

/** A pod that waits for something. */
export const waiting = (reason: string, message: string): PodStatus => ({
  phase: "Pending",
  containerStatuses: [{ name: "worker", state: { waiting: { reason, message } } }]
})

/** A pod that has ended. */
export const ended = (exitCode: number, message = "", finishedAt = "2026-01-01T00:00:50Z"): PodStatus => ({
  phase: exitCode === 0 ? "Succeeded" : "Failed",
  containerStatuses: [{ name: "worker", state: { terminated: { exitCode, message, finishedAt } } }]
})
