/**
 * Which of several processes acts: whoever holds a Lease.
 *
 * ## Guarantees
 * - A process thinks that it leads only while its last renewal was asked for less than 7 seconds ago; others take over
 *   only when they have seen no renewal for the 10 seconds that the holder asked for. Both are counted by a clock that
 *   nobody sets: the times in the Lease are for people.
 * - Another leads within 15 seconds of a kill, and within 2 of a clean stop: the Lease is given up then.
 * - Who held it and cannot renew it ends: its process starts anew, as a stand-by. What it was about to change is given
 *   up at the same moment.
 *
 * ## Assumptions
 * - A lease is no fence: a process that is held up between asking and writing may write late. The names of Jobs and the
 *   versions of objects are the fences.
 */
import { DateTime, Deferred, Duration, Effect, Latch, Random, Result, Schedule, type Scope } from "effect"
import type { ClusterError } from "../domain/ClusterError.ts"
import type { LeaseObject, LeaseSpec } from "../domain/ClusterObjects.ts"
import { Cluster } from "../domain/ports/Cluster.ts"
import { monotonicNanos } from "../streams/OwnClock.ts"
import { type AsLeader, type Leadership, LeadershipLost, NotLeading } from "./Leadership.ts"
import * as Metrics from "./OperatorMetrics.ts"

export interface LeaderElectionOptions {
  readonly namespace: string
  readonly name: string
  /** Of this process alone, a new one with each start. */
  readonly identity: string
}

const leaseSeconds = 10
const renewWithin = Duration.seconds(7)
const retryEvery = Duration.seconds(2)
/** An API server that starts does not know who may what yet. */
const refusedFor = Duration.minutes(1)
/** Giving up is a kindness: it holds nothing up. */
const giveUpWithin = Duration.seconds(3)

const nanos = (duration: Duration.Duration): bigint => BigInt(Math.round(Duration.toMillis(duration))) * 1_000_000n

/** What is known of the Lease. */
interface Known {
  lease: LeaseObject | undefined
  /** When its latest version was first seen. */
  seenAt: bigint
  /** When the renewal that succeeded last was asked for. */
  renewedAt: bigint | undefined
  /** Why the last try came to nothing, if it was not that another was faster. */
  trouble: ClusterError | undefined
}

/** Takes part until the scope closes; then the Lease is given up. */
export const leaderElection = (
  options: LeaderElectionOptions
): Effect.Effect<Leadership, never, Cluster | Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const known: Known = { lease: undefined, seenAt: 0n, renewedAt: undefined, trouble: undefined }
    const begun = yield* Latch.make(false)
    const lost = yield* Deferred.make<never, LeadershipLost | ClusterError>()
    const asLeader = leading(known)
    const part = Effect.andThen(campaign(cluster, options, known), begun.open).pipe(
      Effect.andThen(Metrics.leading(options.name, true)),
      Effect.andThen(hold(cluster, options, known))
    )
    yield* Metrics.leading(options.name, false)
    yield* Effect.addFinalizer(() => giveUp(cluster, options, known))
    yield* Effect.forkScoped(Effect.catchCause(part, (cause) => Deferred.failCause(lost, cause)))
    const isReachable = Effect.sync(() => known.lease !== undefined && known.trouble === undefined)
    return { ...asLeader, begun: begun.await, isReachable, lost: Deferred.await(lost) }
  })

/** How long it may act, and what follows. */
const leading = (known: Known) => {
  const left = Effect.map(monotonicNanos, (now) =>
    known.renewedAt === undefined ? 0n : bigintMax(known.renewedAt + nanos(renewWithin) - now, 0n)
  )
  /** Renewals put it off. */
  const over: Effect.Effect<void> = Effect.flatMap(left, (nanoseconds) =>
    nanoseconds === 0n
      ? Effect.void
      : Effect.andThen(
          Effect.sleep(Duration.nanos(nanoseconds)),
          Effect.suspend(() => over)
        )
  )
  const isLeading = Effect.map(left, (nanoseconds) => nanoseconds > 0n)
  const ifLeading: AsLeader = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.flatMap(isLeading, (leads): Effect.Effect<A, E | NotLeading> => (leads ? effect : new NotLeading()))
  return { isLeading, ifLeading, over }
}

/** Tries until it leads. */
const campaign = Effect.fnUntraced(function* (
  cluster: Cluster["Service"],
  options: LeaderElectionOptions,
  known: Known
) {
  let told: string | undefined
  let refusedSince: bigint | undefined
  const tolerated = Effect.fnUntraced(function* (error: ClusterError) {
    const now = yield* monotonicNanos
    refusedSince ??= now
    known.trouble = error
    if (now - refusedSince >= nanos(refusedFor)) return yield* error
    return false
  })
  while (!(yield* Effect.catchIf(attempt(cluster, options, known), ({ isRefusal }) => isRefusal, tolerated))) {
    const state = known.trouble?.reason._tag ?? known.lease?.spec?.holderIdentity ?? ""
    if (state !== told) yield* tellStandby(options, known)
    told = state
    // not all at the same moment
    yield* Effect.sleep(Duration.millis(Duration.toMillis(retryEvery) * (0.9 + 0.1 * (yield* Random.next))))
  }
  yield* Effect.logInfo(`${options.identity} leads`)
})

/** Once per change: who leads, or why nobody of us can. */
const tellStandby = ({ name, namespace }: LeaderElectionOptions, { lease, trouble }: Known) =>
  trouble === undefined
    ? Effect.logInfo(`standing by: ${lease?.spec?.holderIdentity || "nobody"} leads`)
    : Effect.logWarning(
        `standing by: the lease ${namespace}/${name} cannot be taken, and is tried again: ${trouble.message}; \
LEADER_ELECTION_NAMESPACE says where it is`
      )

/** One try to get the Lease; that the API server is away is no reason to end, for who does not lead. */
const attempt = (cluster: Cluster["Service"], options: LeaderElectionOptions, known: Known) =>
  Effect.gen(function* () {
    yield* look(cluster, options, known)
    const since = (yield* monotonicNanos) - known.seenAt
    // ours already, where the answer to us was lost
    const isOurs = known.lease?.spec?.holderIdentity === options.identity
    const isTaken = (isOurs || isFree(known.lease?.spec, since)) && (yield* write(cluster, options, known))
    known.trouble = undefined
    return isTaken
  }).pipe(
    Effect.catchIf(
      (error) => error.isRetryable || error.isRace,
      (error) => {
        // another was faster; but what is not found where it is to be made lacks its namespace
        const wasLate = error.isRace && (error.reason._tag !== "NotFound" || known.lease !== undefined)
        known.trouble = wasLate ? undefined : error
        return Effect.as(Effect.logDebug(`the lease ${options.name} was not taken: ${error.message}`), false)
      }
    )
  )

const isFree = (spec: LeaseSpec | undefined, unchangedFor: bigint): boolean =>
  !spec?.holderIdentity || unchangedFor > BigInt(spec.leaseDurationSeconds ?? leaseSeconds) * 1_000_000_000n

const look = (cluster: Cluster["Service"], { name, namespace }: LeaderElectionOptions, known: Known) =>
  Effect.gen(function* () {
    const answer = yield* Effect.result(cluster.get("Lease", { name, namespace }))
    if (Result.isFailure(answer) && answer.failure.reason._tag !== "NotFound") return yield* answer.failure
    const lease = Result.getOrUndefined(answer)
    if (lease?.metadata.resourceVersion === known.lease?.metadata.resourceVersion) return
    known.lease = lease
    known.seenAt = yield* monotonicNanos
  })

/** Writes our name into it, as it was seen and not otherwise. */
const write = (cluster: Cluster["Service"], options: LeaderElectionOptions, known: Known) =>
  Effect.gen(function* () {
    const { identity, name, namespace } = options
    const before = known.lease
    const askedAt = yield* monotonicNanos
    const spec = specOf(identity, before?.spec, DateTime.formatIso(yield* DateTime.now).replace("Z", "000Z"))
    known.lease =
      before === undefined
        ? yield* cluster.create("Lease", { metadata: { name, namespace }, spec })
        : yield* cluster.patch("Lease", { name, namespace, resourceVersion: before.metadata.resourceVersion }, { spec })
    known.renewedAt = askedAt
    known.seenAt = askedAt
    return true
  })

const specOf = (identity: string, before: LeaseSpec | undefined, now: string): LeaseSpec => {
  const isOurs = before?.holderIdentity === identity
  return {
    holderIdentity: identity,
    leaseDurationSeconds: leaseSeconds,
    acquireTime: isOurs ? (before?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: (before?.leaseTransitions ?? 0) + (isOurs || before === undefined ? 0 : 1)
  }
}

const noteTrouble = (known: Known, error: ClusterError): void => {
  known.trouble = error.isRace ? undefined : error
}

/** After half a second, or when the API server asks for it; but no later than a renewal, of which three are in time. */
const asSoonAsAsked = Schedule.spaced("500 millis").pipe(
  Schedule.setInputType<LeadershipLost | ClusterError>(),
  Schedule.modifyDelay(({ duration, input }) => {
    const asked = Duration.millis(input._tag === "ClusterError" ? (input.retryAfterMillis ?? 0) : 0)
    return Effect.succeed(Duration.min(Duration.max(duration, asked), retryEvery))
  })
)

/** Renews it for ever; fails when that has not been possible for too long, or another holds it. */
const hold = (cluster: Cluster["Service"], options: LeaderElectionOptions, known: Known) => {
  const lose = (why: string) => new LeadershipLost({ lease: `${options.namespace}/${options.name}`, why })
  const renewal = Effect.gen(function* () {
    const holder = known.lease?.spec?.holderIdentity ?? options.identity
    if (holder !== options.identity) return yield* lose(`${holder} holds it`)
    // it is not as we know it where an answer to us was lost, too: who holds it now decides
    yield* write(cluster, options, known).pipe(
      Effect.tapError((error) => (error.isRace ? look(cluster, options, known) : Effect.void)),
      Effect.tapError((error) => Effect.sync(() => noteTrouble(known, error)))
    )
    known.trouble = undefined
  })
  const renewedOnce = Effect.gen(function* () {
    yield* Effect.sleep(retryEvery)
    const since = (yield* monotonicNanos) - (known.renewedAt ?? 0n)
    yield* renewal.pipe(
      Effect.retry({
        while: (error) => error._tag === "ClusterError" && (error.isRetryable || error.isRefusal || error.isRace),
        schedule: asSoonAsAsked
      }),
      Effect.timeoutOrElse({
        duration: Duration.nanos(bigintMax(nanos(renewWithin) - since, 0n)),
        orElse: () => lose("it could not be renewed within 7 seconds")
      })
    )
  })
  return Effect.forever(renewedOnce)
}

const bigintMax = (one: bigint, other: bigint): bigint => (one > other ? one : other)

/** The next one need not wait. */
const giveUp = (cluster: Cluster["Service"], options: LeaderElectionOptions, known: Known): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* Metrics.leading(options.name, false)
    if (known.renewedAt === undefined) return
    known.renewedAt = undefined
    yield* look(cluster, options, known)
    const { lease } = known
    if (lease?.spec?.holderIdentity !== options.identity) return
    const { name, namespace, resourceVersion } = lease.metadata
    yield* cluster.patch("Lease", { name, namespace, resourceVersion }, { spec: { holderIdentity: null } })
    yield* Effect.logInfo(`${options.identity} does not lead any more`)
  }).pipe(
    Effect.timeoutOption(giveUpWithin),
    Effect.catch((error) => Effect.logDebug(`the lease ${options.name} was not given up: ${error.message}`)),
    Effect.asVoid
  )
