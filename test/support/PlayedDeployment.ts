/** Does a node's part for the pods of the operator's Deployment: each is a process, and is ready when it says so. */
import { Effect, FiberMap, Schedule, Stream } from "effect"
import type { PodObject, PodStatus } from "../../src/domain/ClusterObjects.ts"
import { Cluster } from "../../src/domain/ports/Cluster.ts"
import { waitForStatus } from "./HealthPages.ts"
import { environmentOf, serviceAccount } from "./Manifests.ts"
import { freePort } from "./servers/freePort.ts"
import * as Program from "./servers/Program.ts"

const ready: PodStatus = {
  phase: "Running",
  conditions: [
    { type: "Ready", status: "True" },
    { type: "ContainersReady", status: "True" }
  ],
  containerStatuses: [{ name: "operator", ready: true, restartCount: 0, state: { running: {} } }]
}

/** Runs until it is interrupted: as its service account, with its environment, at a port of its own. */
const runPod = ({ metadata: { name, namespace, uid }, spec }: PodObject) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const port = yield* freePort
    const KUBECONFIG = yield* serviceAccount(namespace)
    yield* Program.start({
      runtime: uid < "8" ? "bun" : "node",
      args: [...(spec.containers[0]?.args ?? [])],
      env: { ...environmentOf({ namespace, pod: spec }), KUBECONFIG, HEALTH_PORT: `${port}` }
    })
    yield* waitForStatus(port, "/readyz", 200)
    yield* cluster
      .patchStatus("Pod", { namespace, name }, { status: ready })
      .pipe(Effect.retry({ while: (error) => error.isRetryable, schedule: Schedule.spaced("100 millis") }))
    return yield* Effect.never
  }).pipe(Effect.scoped)

/** Plays until the scope closes. */
export const playDeployment = Effect.gen(function* () {
  const cluster = yield* Cluster
  const running = yield* FiberMap.make<string>()
  const labels = "app.kubernetes.io/name=paymentjob-operator"
  const start = (pod: PodObject) =>
    pod.metadata.deletionTimestamp === undefined
      ? FiberMap.run(
          running,
          pod.metadata.uid,
          Effect.tapCause(runPod(pod), (cause) => Effect.logError(`${pod.metadata.name} does not run`, cause)),
          { onlyIfMissing: true }
        )
      : FiberMap.remove(running, pod.metadata.uid)
  yield* cluster.watch("Pod", { namespaces: [], labels }).pipe(
    Stream.runForEach((event) => {
      if (event._tag === "Synced") return Effect.forEach(event.objects, start, { discard: true })
      if (event._tag === "Applied") return Effect.asVoid(start(event.object))
      return FiberMap.remove(running, event.object.metadata.uid)
    }),
    Effect.tapCause((cause) => Effect.logError("nobody runs the Deployment's pods any more", cause)),
    Effect.forkScoped
  )
})
