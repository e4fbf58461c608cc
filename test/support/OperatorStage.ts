/** An operator on a cluster in memory. */
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { ClusterTrouble } from "../../src/layers/memory/ClusterTrouble.ts"
import * as MemoryCluster from "../../src/layers/memory/MemoryCluster.ts"
import * as Controller from "../../src/operator/Controller.ts"
import { alone, type Leadership } from "../../src/operator/LeaderElection.ts"
import type { PaymentJobStatus } from "../../src/operator/PaymentJob.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { namespace } from "./PaymentJobs.ts"

export const layer = Layer.mergeAll(MemoryCluster.layer, Shutdown.layer, Supervisor.layer)

/** Starts one, which `kill` ends; it goes with the test at the latest. */
export const start = (leadership: Leadership = alone) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const fiber = yield* Effect.gen(function* () {
      const { streams } = yield* Controller.make({ namespaces: [], workers: 4, imagePullPolicy: "Never", leadership })
      const all = Effect.forEach(streams, (stream) => Stream.runDrain(stream), {
        concurrency: "unbounded",
        discard: true
      })
      yield* Effect.raceFirst(all, leadership.lost)
    }).pipe(Scope.provide(scope), Effect.forkDetach)
    const kill = Effect.andThen(Fiber.interrupt(fiber), Scope.close(scope, Exit.void))
    yield* Effect.addFinalizer(() => kill)
    yield* settle
    return { kill }
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
