/** An operator on a cluster in memory. */
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { PodStatus } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as MemoryCluster from "../../src/layers/memory/MemoryCluster.ts"
import * as Controller from "../../src/operator/Controller.ts"
import { alone, type Leadership } from "../../src/operator/Leadership.ts"
import type { PaymentJobStatus } from "../../src/operator/PaymentJob.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { ended, namespace, paymentJob, podOf, running, setJob } from "./PaymentJobs.ts"

export const layer = Layer.mergeAll(MemoryCluster.layer, Shutdown.layer, Supervisor.layer)

/** Starts one, which `kill` ends, and which has `ended` when it was asked to stop; it goes with the test at the latest. */
export const start = (leadership: Leadership = alone) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const options = { namespaces: [], workers: 4, imagePullPolicy: "Never", leadership } as const
    const { isReady, streams } = yield* Scope.provide(Controller.make(options), scope)
    const all = Effect.forEach(streams, (stream) => Stream.runDrain(stream), {
      concurrency: "unbounded",
      discard: true
    })
    const fiber = yield* Effect.forkDetach(Effect.raceFirst(all, leadership.lost))
    const kill = Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() => kill)
    yield* settle
    return { kill, ended: Fiber.await(fiber), isReady }
  })

/** Lets everything happen that happens without the clock, and a little later. */
export const settle = TestClock.adjust("1 second")

/** The status of one. */
export const statusOf = (name: string): Effect.Effect<PaymentJobStatus, never, Cluster> =>
  Cluster.use((cluster) => cluster.get("PaymentJob", { namespace, name })).pipe(
    Effect.map(({ status }) => (status ?? {}) as PaymentJobStatus),
    Effect.orDie
  )

export const conditionOf = (status: PaymentJobStatus, type: string) =>
  status.conditions?.find((condition) => condition.type === type)

/** The reasons of the events, in their order. */
export const reasonsTold = Cluster.use((cluster) => cluster.list("Event", { namespaces: [] })).pipe(
  Effect.map((events) => events.map(({ reason }) => reason)),
  Effect.orDie
)

/** How many requests changed something since the last `since`. */
export const changesSince = (since: number) =>
  ClusterTrouble.use(({ requests }) => requests).pipe(
    Effect.map((all) => all.slice(since).filter(({ verb }) => !["get", "list", "watch"].includes(verb)))
  )

export const requestCount = ClusterTrouble.use(({ requests }) => Effect.map(requests, ({ length }) => length))

/** A cluster with an operator, and one PaymentJob with its Job. */
export const begun = (name = "one", changes: Parameters<typeof paymentJob>[1] = {}) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const { kill } = yield* start()
    yield* cluster.create("PaymentJob", paymentJob(name, changes))
    yield* settle
    return { cluster, kill, job: yield* cluster.get("Job", { namespace, name: `${name}-job` }) }
  })

/** The same, with a pod of the Job, which is as the node says; or has ended with an exit code. */
export const withPod = (status: PodStatus | number) =>
  Effect.gen(function* () {
    const stage = yield* begun()
    yield* setJob(stage.cluster, "one-job", running)
    yield* stage.cluster.create("Pod", podOf(stage.job, "one-job-a"))
    const seen = { namespace, name: "one-job-a" }
    yield* stage.cluster.patchStatus("Pod", seen, {
      status: typeof status === "number" ? ended(status) : { ...status }
    })
    yield* settle
    return stage
  })
