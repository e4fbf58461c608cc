/** Does a node's part for the pods of Jobs, without running anything: it says of each how it gets on. */
import { Effect, Schedule, Stream } from "effect"
import type { PodObject, PodStatus } from "../../src/domain/ClusterObjects.ts"
import { Cluster, type ClusterEvent } from "../../src/domain/ports/Cluster.ts"
import { nameAnnotation, selector } from "../../src/operator/JobSpec.ts"
import { ended } from "./PaymentJobs.ts"

/** What becomes of a pod, told once for each. */
export type Play<E = never, R = never> = (pod: PodObject, paymentJob: string) => Effect.Effect<PodStatus, E, R>

const result = { stored: 8, duplicates: 1, deadLettered: 1 }

/** Ends well, with a result. */
export const endedWell: PodStatus = ended(0, JSON.stringify(result))
/** What the status of a PaymentJob says then. */
export const resultOfGoodEnd = result

/** Its container runs. */
export const runningPod: PodStatus = {
  phase: "Running",
  containerStatuses: [{ name: "worker", ready: true, restartCount: 0, state: { running: {} } }]
}

const podsOf = (event: ClusterEvent<PodObject>): ReadonlyArray<PodObject> => {
  if (event._tag === "Synced") return event.objects
  return event._tag === "Applied" ? [event.object] : []
}

/** Plays until the scope closes; no namespace means all of them. */
export const playPods = <E, R>(namespaces: ReadonlyArray<string>, play: Play<E, R>) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const played = new Set<string>()
    const tell = ({ metadata: { name, namespace, uid } }: PodObject, status: PodStatus) =>
      cluster.patchStatus("Pod", { namespace, name, uid }, { status }).pipe(
        Effect.retry({ while: (error) => error.isRetryable, schedule: Schedule.spaced("100 millis") }),
        Effect.catchIf(
          (error) => error.reason._tag === "NotFound",
          () => Effect.void
        )
      )
    const playOnce = (pod: PodObject) => {
      if (played.has(pod.metadata.uid) || pod.metadata.deletionTimestamp !== undefined) return Effect.void
      played.add(pod.metadata.uid)
      const name = pod.metadata.annotations?.[nameAnnotation] ?? ""
      return Effect.flatMap(play(pod, name), (status) => tell(pod, status))
    }
    yield* cluster.watch("Pod", { namespaces, labels: selector }).pipe(
      Stream.flatMap((event) => Stream.fromIterable(podsOf(event))),
      Stream.mapEffect(playOnce, { concurrency: 16, unordered: true }),
      Stream.runDrain,
      Effect.tapCause((cause) => Effect.logError("nobody plays the pods any more", cause)),
      Effect.forkScoped
    )
  })
