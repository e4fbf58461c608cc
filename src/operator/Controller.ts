/**
 * The operator: watches tell which PaymentJobs to look at, and so many are looked at side by side.
 *
 * ## Guarantees
 * - One PaymentJob is looked at by one worker at a time; whatever changed meanwhile, it is looked at once more.
 * - What tells nothing new (the echo of a write of ours) is no reason to look.
 * - Nothing is looked at before all watches have told what there is, nor while another process leads.
 * - A look that fails is repeated: after 200 ms at first, a minute at last, and not before the API server asked for.
 * - Every PaymentJob is looked at again every ten minutes, though nothing was told of it.
 * - Asked to stop, it finishes the looks that are in hand; when this process leads no more, they are given up.
 */
import { Array as Arr, Cause, Duration, Effect, Latch, Random, Result, Schedule, Stream } from "effect"
import type { ClusterError } from "../domain/ClusterError.ts"
import type { Kind, Objects } from "../domain/ClusterObjects.ts"
import { Cluster, type ClusterEvent, type Watched } from "../domain/ports/Cluster.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { monotonicMillis } from "../streams/OwnClock.ts"
import { unlessStopped, untilShutdown } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"
import { type JobOptions, selector } from "./JobSpec.ts"
import type { Leadership } from "./Leadership.ts"
import * as Metrics from "./OperatorMetrics.ts"
import { leanPaymentJob } from "./PaymentJob.ts"
import { type Looked, type ReconcileError, reconciler } from "./Reconciler.ts"
import { leanJob } from "./SeenJob.ts"
import { leanPod } from "./SeenPod.ts"
import { Surroundings } from "./Surroundings.ts"
import * as WorkQueue from "./WorkQueue.ts"

export interface ControllerOptions extends JobOptions {
  /** None: all of them. */
  readonly namespaces: ReadonlyArray<string>
  /** PaymentJobs that may be looked at side by side. */
  readonly workers: number
  readonly leadership: Leadership
}

/** 200 ms, 400 ms … a minute, each ±20 %. */
const backOff = RetryPolicy.exponential({ initialDelay: "200 millis", maxDelay: "60 seconds", jitter: 0.2 })

const resyncEvery = Duration.minutes(10)
const lostEvery = Duration.seconds(1)
const standingEvery = Duration.seconds(10)
const inHandEvery = Duration.seconds(1)

/** Watches with what they have told, a latch for when they have, and the streams that do the work. */
export const make = Effect.fnUntraced(function* (options: ControllerOptions) {
  const cluster = yield* Cluster
  const queue = yield* WorkQueue.make
  const surroundings = new Surroundings()
  const { begun, ifLeading, over } = options.leadership
  const look = yield* reconciler({ ...options, surroundings, ifLeading })
  const scope = { namespaces: options.namespaces }
  const isKnown = yield* knowing(["PaymentJob", "Job", "Pod"])
  yield* Metrics.workersAre(options.workers)

  const follow = <K extends Kind>(kind: K, where: Watched<K>, on: (event: EventOf<K>, now: number) => Keys) => {
    // what came together is taken in together
    const told = Effect.fnUntraced(function* (events: Arr.NonEmptyReadonlyArray<EventOf<K>>) {
      const now = yield* monotonicMillis
      yield* Effect.forEach(new Set(events.flatMap((event) => on(event, now))), queue.add, { discard: true })
      yield* isKnown.tell(kind)
      return Arr.of<void>(undefined)
    })
    const watched = Stream.mapArrayEffect(cluster.watch(kind, where), told).pipe(supervised(`watch ${kind}s`))
    // nothing is in hand then that would have to be finished
    return Stream.fromEffect(unlessStopped(Stream.runDrain(watched)))
  }

  const watches = [
    follow("PaymentJob", { ...scope, keep: leanPaymentJob }, (event, now) => surroundings.onPaymentJobs(event, now)),
    follow("Job", { ...scope, labels: selector, keep: leanJob }, (event, now) => surroundings.onJobs(event, now)),
    follow("Pod", { ...scope, labels: selector, keep: leanPod }, (event, now) => surroundings.onPods(event, now))
  ]

  const inHand: InHand = new Map()
  const work = Stream.fromEffectRepeat(queue.take).pipe(
    untilShutdown,
    // made once: it counts the failures of each
    Stream.mapEffect(lookAt(queue, inHand, look), { concurrency: options.workers, unordered: true }),
    Stream.interruptWhen(over)
  )
  // who is asked to stop while it waits has nothing in hand; what is in hand later is finished
  const works = Stream.unwrap(
    Effect.map(unlessStopped(Effect.all([begun, isKnown.all])), (ready) => (ready === undefined ? Stream.empty : work))
  )

  const resync = Stream.fromSchedule(Schedule.spaced(resyncEvery)).pipe(
    Stream.mapEffect(() => Effect.forEach([...surroundings.paymentJobs.told.keys()], queue.add, { discard: true })),
    untilShutdown
  )
  const lost = Stream.fromSchedule(Schedule.spaced(lostEvery)).pipe(
    Stream.mapEffect(() => monotonicMillis),
    Stream.mapEffect((now) => Effect.forEach(surroundings.lost(now), queue.add, { discard: true })),
    untilShutdown
  )
  const standing = Stream.fromSchedule(Schedule.spaced(standingEvery)).pipe(
    Stream.mapEffect(() => Metrics.standing(surroundings.paymentJobs.told.values(), surroundings.unreadable.size)),
    untilShutdown
  )
  const unfinished = Stream.fromSchedule(Schedule.spaced(inHandEvery)).pipe(
    Stream.mapEffect(() => Effect.flatMap(monotonicMillis, (now) => Metrics.unfinished(now, inHand.values()))),
    untilShutdown
  )
  const isReady = Effect.map(
    Effect.all([isKnown.isAll, cluster.areWatchesAlive, options.leadership.isReachable]),
    (all) => !all.includes(false)
  )
  return { streams: [...watches, works, resync, lost, standing, unfinished], isReady }
})

/** What is being looked at, and since when, in milliseconds of our own clock. */
type InHand = Map<string, number>

type Keys = ReadonlyArray<string>

type EventOf<K extends Kind> = ClusterEvent<Objects[K]>

/** Which kinds were told of, and whether it is all of them. */
const knowing = (kinds: ReadonlyArray<Kind>) =>
  Effect.map(Latch.make(false), (latch) => {
    const missing = new Set(kinds)
    return {
      tell: (kind: Kind): Effect.Effect<void> =>
        Effect.suspend(() => {
          missing.delete(kind)
          return missing.size === 0 ? Effect.asVoid(latch.open) : Effect.void
        }),
      all: latch.await,
      isAll: Effect.sync(() => missing.size === 0)
    }
  })

type Look = (key: string) => Effect.Effect<Looked, ReconcileError>

/** A look, and what follows of how it ended. */
const lookAt = (queue: WorkQueue.WorkQueue, inHand: InHand, look: Look) => {
  const failures = new Map<string, number>()

  const after = Effect.fnUntraced(function* (key: string, result: Result.Result<Looked, Cause.Cause<ReconcileError>>) {
    if (Result.isSuccess(result)) {
      failures.delete(key)
      if (result.success.after === undefined) return "success" as const
      yield* queue.addAfter(key, result.success.after)
      return "requeue_after" as const
    }
    const attempt = (failures.get(key) ?? 0) + 1
    failures.set(key, attempt)
    const error = clusterErrorOf(result.failure)
    const wait = RetryPolicy.jitteredDelay(backOff, attempt, yield* Random.next)
    yield* Metrics.retried
    yield* queue.addAfter(key, Duration.max(wait, Duration.millis(error?.retryAfterMillis ?? 0)))
    if (error?.isRace === true) return "requeue" as const
    yield* tellFailure(result.failure)
    return "error" as const
  })

  const letGo = (key: string) =>
    Effect.suspend(() => {
      inHand.delete(key)
      return queue.done(key)
    })

  return (key: string): Effect.Effect<void> =>
    Effect.gen(function* () {
      const startedAt = yield* monotonicMillis
      inHand.set(key, startedAt)
      const result = yield* Effect.result(Effect.sandbox(look(key)))
      const ended = yield* after(key, result)
      yield* Metrics.reconciled(ended, (yield* monotonicMillis) - startedAt)
    }).pipe(Effect.ensuring(letGo(key)), Effect.annotateLogs({ paymentjob: key }))
}

const clusterErrorOf = (cause: Cause.Cause<ReconcileError>): ClusterError | undefined =>
  cause.reasons.flatMap((reason) =>
    reason._tag === "Fail" && reason.error._tag === "ClusterError" ? [reason.error] : []
  )[0]

const tellFailure = (cause: Cause.Cause<ReconcileError>) =>
  Cause.hasDies(cause)
    ? Effect.logError("a defect; it is looked at again", cause)
    : Effect.logWarning(`not done, it is tried again: ${Cause.squash(cause)}`)
