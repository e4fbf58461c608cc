/** Where a PaymentJob runs for real: a namespace with its secrets, a queue and a database of its own, an operator. */
import { assert } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { JobObject, PodObject } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import type { PaymentJobSpec } from "../../src/operator/PaymentJob.ts"
import { query } from "./Databases.ts"
import { NodeAgent } from "./kubernetes/NodeAgent.ts"
import { newNamespace, OperatorPlane, startOperator } from "./OperatorPlane.ts"
import * as Stage from "./Stage.ts"
import { eventually } from "./servers/eventually.ts"
import { kubectl } from "./servers/Kubernetes.ts"
import type { Runtime } from "./servers/Program.ts"

/** Small batches, so that a moment in the midst can be told; a short lease, so that a dead process is soon inherited. */
const inSmallSteps = [
  { name: "BATCH_SIZE", value: "10" },
  { name: "RUN_LEASE_SECONDS", value: "2" }
]

const soon = { deadline: "60 seconds", every: "50 millis" } as const

/** The services of a stage as a PaymentJob names them. */
const servicesOf = ({ brokerUrl, databaseUrl }: Stage.Stage) => {
  const [broker, database] = [new URL(brokerUrl), new URL(databaseUrl)]
  return {
    spec: {
      rabbitmq: { host: broker.hostname, port: Number(broker.port), secretRef: { name: "rabbitmq-login" } },
      postgres: {
        host: database.hostname,
        port: Number(database.port),
        database: database.pathname.slice(1),
        secretRef: { name: "postgres-login" }
      }
    },
    secrets: { "rabbitmq-login": broker, "postgres-login": database }
  }
}

/** Makes a secret of the user and the password in an address. */
const createSecret = (namespace: string, name: string, { password, username }: URL) =>
  Effect.flatMap(OperatorPlane, (plane) =>
    kubectl(
      plane,
      ...["create", "secret", "generic", name, `--namespace=${namespace}`],
      ...[`--from-literal=username=${username}`, `--from-literal=password=${password || "none"}`]
    )
  )

export interface RunOptions {
  /** Of the operator and of the pods. */
  readonly runtime: Runtime
  /** Left to the test otherwise. */
  readonly withSecrets?: boolean
}

/** Sets all of it up. */
export const make = ({ runtime, withSecrets = true }: RunOptions) =>
  Effect.gen(function* () {
    const stage = yield* Stage.make
    const namespace = yield* newNamespace
    const cluster = yield* Cluster
    const agent = yield* NodeAgent
    const { secrets, spec } = servicesOf(stage)
    const createSecrets = Effect.forEach(Object.entries(secrets), ([name, url]) => createSecret(namespace, name, url), {
      discard: true
    })
    if (withSecrets) yield* createSecrets
    yield* startOperator({ namespace, runtime })
    const image = runtime === "bun" ? "payments-worker:bun" : "payments-worker:latest"
    const create = (name: string, changes: Partial<PaymentJobSpec>) =>
      cluster.create("PaymentJob", {
        metadata: { name, namespace },
        spec: { queueName: stage.queue, image, ...spec, env: inSmallSteps, ...changes }
      })
    const statusOf = (name: string) =>
      Effect.map(cluster.get("PaymentJob", { namespace, name }), ({ status }) => status ?? {})
    return { stage, namespace, cluster, agent, createSecrets, create, statusOf }
  })

export type JobRun = Effect.Success<ReturnType<typeof make>>

/** Waits until the status of a PaymentJob is so. */
export const statusIs = ({ statusOf }: JobRun, name: string, expected: Readonly<Record<string, unknown>>) =>
  eventually(
    Effect.map(statusOf(name), (status) =>
      assert.deepStrictEqual(Object.fromEntries(Object.keys(expected).map((field) => [field, status[field]])), expected)
    ),
    soon
  )

/** A condition of it. */
export const conditionOf = ({ statusOf }: JobRun, name: string, type: string) =>
  Effect.map(statusOf(name), ({ conditions = [] }) =>
    (conditions as ReadonlyArray<Record<string, string>>).find((condition) => condition["type"] === type)
  )

export const jobsOf = ({ cluster, namespace }: JobRun): Effect.Effect<ReadonlyArray<JobObject>> =>
  Effect.orDie(cluster.list("Job", { namespaces: [namespace] }))

export const podsOf = ({ cluster, namespace }: JobRun): Effect.Effect<ReadonlyArray<PodObject>> =>
  Effect.orDie(cluster.list("Pod", { namespaces: [namespace] }))

/** Waits until so many of its pods run, and gives them. */
export const runningPods = (run: JobRun, count = 1) =>
  eventually(
    Effect.map(podsOf(run), (pods) => {
      const running = pods.filter(
        ({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === "Running"
      )
      assert.strictEqual(running.length, count, JSON.stringify(pods.map(({ status }) => status)))
      return running
    }),
    soon
  )

/** What every payment of the queue's limit has become: how many rows, ids, and by how many runs. */
export const storedIn = ({ stage }: JobRun) =>
  query<{ readonly rows: number; readonly ids: number; readonly runs: number }>(
    Redacted.make(stage.databaseUrl),
    "SELECT count(*)::int AS rows, count(DISTINCT message_id)::int AS ids, count(DISTINCT run_id)::int AS runs FROM payments"
  ).pipe(Effect.map(([row]) => row))

/** Waits until its pods have gone. */
export const podsAreGone = (run: JobRun) =>
  waitUntil(
    Effect.map(podsOf(run), (pods) =>
      assert.deepStrictEqual(
        pods.map(({ metadata, status }) => JSON.stringify([metadata, status])),
        []
      )
    )
  )

export const waitUntil = <E>(check: Effect.Effect<void, E>) => eventually(check, soon)
