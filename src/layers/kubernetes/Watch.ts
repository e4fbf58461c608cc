/**
 * One watch of a kind in one place: a list, then its changes for ever.
 *
 * ## Guarantees
 * - Goes on from the last position after a cut or the server's end of it; lists again when the server has forgotten that
 *   position (410), after a silence, and once an hour whatever happens. A server whose history went back (a backup that
 *   was restored) is silent until it has caught up with the position: so the silence shows it.
 * - One connection at a time, opened again after 0.1 to 30 seconds, with jitter; a `Retry-After` is waited for.
 * - Takes no more from the connection than is taken from it.
 *
 * ## Assumptions
 * - The API server sends a bookmark about every minute: so it is noticed when it does not. Nothing else depends on it.
 */
import { Clock, Data, Duration, Effect, identity, Random, Result, type Scope } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import { type ClusterObject, resourceOf } from "../../domain/ClusterObjects.ts"
import { KnownObjects } from "../../domain/KnownObjects.ts"
import type { ClusterEvent } from "../../domain/ports/Cluster.ts"
import { monotonicMillis } from "../../streams/OwnClock.ts"
import { chunksOf, type Next } from "./Chunks.ts"
import { away, refusal } from "./KubernetesErrors.ts"
import * as Metrics from "./KubernetesMetrics.ts"
import { Lines } from "./Lines.ts"
import { list } from "./Lists.ts"
import { type Place, queryPath } from "./Paths.ts"
import { type Requests, rest } from "./Requests.ts"
import { objectOf, parse, versionIn } from "./WireObjects.ts"

export interface WatchOptions {
  /** Without a byte for so long it is opened again. */
  readonly silence: Duration.Duration
  /** How long we may be refused in a row; a minute, where it is not said. */
  readonly refusedFor?: Duration.Duration
  readonly pageSize?: number
}

export interface Watch<O> {
  /** What there is; again and again until the server says. */
  readonly begin: Effect.Effect<ReadonlyArray<O>, ClusterError>
  /** Tells what changes then. */
  readonly follow: (tell: Tell<O>) => Effect.Effect<never, ClusterError>
  /** What there is, as it was told. */
  readonly objects: () => ReadonlyArray<O>
  /** Whether the server has opened it, and it has not failed since. */
  readonly isAlive: () => boolean
}

/** The server has forgotten the position. */
class Expired extends Data.TaggedError("Expired")<Record<never, never>> {}

/** After so long all is listed again: a safeguard against what nobody has thought of. */
const listedAgainAfter = Duration.toMillis("1 hour")

/** An API server that starts does not know who may what yet. */
const refusedForUsually = Duration.minutes(1)

/** How long the server may keep a watch open: with jitter, so that not all end together. */
const longestWindow = { minimum: 240, maximum: 300 }

const shortestPause = 100
const longestPause = Duration.toMillis("30 seconds")

/** 0.1, 0.2, 0.4 … 30 seconds after so many failures in a row, less a random half. */
const pauseOf = (failures: number, random: number): number =>
  Math.min(longestPause, shortestPause * 2 ** Math.min(failures, 20)) * (1 - random / 2)

/** Where a watch stands. */
interface State<O extends ClusterObject> {
  readonly requests: Requests
  readonly place: Place
  readonly options: WatchOptions
  readonly known: KnownObjects<O>
  readonly keep: (object: O) => O
  isAlive: boolean
  /** In a row; what comes from the server ends the row. */
  failures: number
  /** Since when we are refused, if we are. */
  refusedSince: number | undefined
  listedAt: number
  /** When something came last, by a clock that nobody sets; nothing is waited for while that is in hand. */
  heardAt: number | "in hand"
  listAgainBecause: string | undefined
}

type Tell<O> = (events: ReadonlyArray<ClusterEvent<O>>) => Effect.Effect<unknown>

export const make = <O extends ClusterObject>(
  requests: Requests,
  place: Place,
  options: WatchOptions,
  keep: (object: O) => O = identity
): Watch<O> => {
  const known = new KnownObjects<O>()
  const state: State<O> = {
    ...{ requests, place, options, known, keep },
    ...{ isAlive: false, failures: 0, refusedSince: undefined, listedAt: 0, heardAt: 0, listAgainBecause: undefined }
  }
  const begin: Watch<O>["begin"] = Effect.suspend(() => listed(state, "begin")).pipe(
    Effect.map(({ objects }) => objects),
    Effect.catch((error) => Effect.andThen(survived(state, error), begin))
  )
  const follow: Watch<O>["follow"] = (tell) => Effect.forever(turn(state, tell), { disableYield: true })
  return { begin, follow, objects: () => known.objects, isAlive: () => state.isAlive }
}

const listed = <O extends ClusterObject>(state: State<O>, reason: string) =>
  Effect.gen(function* () {
    const { keep, known, options, place, requests } = state
    const { objects, position } = yield* list<O>(requests, place, options.pageSize, keep)
    state.listedAt = yield* Clock.currentTimeMillis
    state.listAgainBecause = undefined
    state.refusedSince = undefined
    yield* Metrics.countRelist(place.kind, reason)
    yield* Metrics.heard(place.kind, place.namespace)
    return { objects, events: known.relist(objects, position) }
  })

const paused = ({ failures }: { readonly failures: number }, asked = 0): Effect.Effect<void> =>
  Effect.flatMap(Random.next, (random) => Effect.sleep(Math.max(asked, pauseOf(failures, random))))

/** What may pass is waited for. */
const survived = Effect.fnUntraced(function* <O extends ClusterObject>(state: State<O>, error: ClusterError) {
  state.isAlive = false
  if (!error.isRetryable && !(error.isRefusal && (yield* isPatient(state)))) return yield* error
  state.failures += 1
  const { kind, namespace } = state.place
  yield* Effect.logWarning(`the watch of ${resourceOf(kind)} goes on later: ${error.message}`).pipe(
    Effect.annotateLogs({ namespace: namespace ?? "all" })
  )
  yield* paused(state, error.retryAfterMillis)
})

/** We are refused, and not for long yet. */
const isPatient = <O extends ClusterObject>(state: State<O>): Effect.Effect<boolean> =>
  Effect.map(Clock.currentTimeMillis, (millis) => {
    state.refusedSince ??= millis
    return millis - state.refusedSince < Duration.toMillis(state.options.refusedFor ?? refusedForUsually)
  })

/** One connection, and a list before where it is needed. */
const turn = <O extends ClusterObject>(state: State<O>, tell: Tell<O>): Effect.Effect<void, ClusterError> =>
  Effect.gen(function* () {
    if (state.listAgainBecause !== undefined) yield* tell((yield* listed(state, state.listAgainBecause)).events)
    yield* session(state, tell)
    if ((yield* Clock.currentTimeMillis) - state.listedAt > listedAgainAfter) state.listAgainBecause = "age"
    // the server's own end of it: opened again at once, unless it ends all of them so
    if (state.failures > 0) yield* paused(state)
    state.failures += 1
  }).pipe(
    Effect.catchTags({
      Expired: () => {
        state.listAgainBecause = "expired"
        state.failures += 1
        return paused(state)
      },
      ClusterError: (error) => survived(state, error)
    })
  )

/** One connection, to its end. */
const session = <O extends ClusterObject>(state: State<O>, tell: Tell<O>) =>
  Effect.flatMap(opened(state), (next) => Effect.raceFirst(readAll(state, next, tell), silence(state))).pipe(
    Effect.scoped
  )

const readAll = Effect.fnUntraced(function* <O extends ClusterObject>(state: State<O>, next: Next, tell: Tell<O>) {
  const { place, requests } = state
  const failure = (cause: unknown) => away(requests.address, watching(place), cause)
  const lines = new Lines()
  while (true) {
    const chunk = yield* Effect.mapError(next, failure)
    if (chunk === undefined) return
    state.heardAt = "in hand"
    yield* Metrics.heard(place.kind, place.namespace)
    const { end, events } = takenIn(state, yield* Effect.fromResult(Result.mapError(lines.push(chunk), failure)))
    if (events.length > 0) yield* tell(events)
    if (end !== undefined) return yield* end
    state.heardAt = yield* monotonicMillis
  }
})

const inHandEvery = Duration.toMillis("1 second")

/** Fails when nothing has come for too long: one timer for all that comes, however much. */
const silence = <O extends ClusterObject>(state: State<O>): Effect.Effect<never, ClusterError> =>
  Effect.gen(function* () {
    const { options, place, requests } = state
    const longest = Duration.toMillis(options.silence)
    let left = longest
    while (left > 0) {
      yield* Effect.sleep(left)
      left = state.heardAt === "in hand" ? inHandEvery : state.heardAt + longest - (yield* monotonicMillis)
    }
    state.listAgainBecause = "silence"
    return yield* away(requests.address, watching(place), `silent for ${Duration.format(options.silence)}`)
  })

const watching = ({ kind }: Place): string => `watch ${resourceOf(kind)}`

/** The bytes of a watch that begins after the known position. */
const opened = <O extends ClusterObject>(state: State<O>): Effect.Effect<Next, ClusterError | Expired, Scope.Scope> =>
  Effect.gen(function* () {
    const { known, options, place, requests } = state
    const window = yield* Random.nextIntBetween(longestWindow.minimum, longestWindow.maximum)
    const path = queryPath(place, {
      watch: "1",
      allowWatchBookmarks: "true",
      resourceVersion: `${known.position}`,
      timeoutSeconds: `${window}`
    })
    const answer = yield* requests.open({ method: "GET", path, lane: "watches" })
    if (answer.status === 410) return yield* new Expired()
    if (answer.status !== 200) {
      return yield* refusal(requests.address, { verb: "watch", ...place }, yield* rest(answer, options.silence))
    }
    state.refusedSince = undefined
    state.isAlive = true
    state.heardAt = yield* monotonicMillis
    yield* Metrics.countOpened(place.kind)
    return yield* chunksOf(answer.response)
  })

/** What lines tell that was not known, all at once; up to the one that ends the watch, if one does. */
const takenIn = <O extends ClusterObject>(state: State<O>, lines: ReadonlyArray<string>) => {
  const events: Array<ClusterEvent<O>> = []
  for (const line of lines) {
    const found = eventsOf(state, line)
    if (Result.isFailure(found)) return { events, end: found.failure }
    state.failures = 0
    for (const event of found.success) events.push(event)
  }
  return { events, end: undefined }
}

/** What a line tells that was not known. */
const eventsOf = <O extends ClusterObject>(
  { keep, known, place, requests: { address } }: State<O>,
  line: string
): Result.Result<ReadonlyArray<ClusterEvent<O>>, ClusterError | Expired> => {
  const { object: value, type } = parse(line) ?? {}
  const nonsense = () => Result.fail(away(address, watching(place), `a line of type ${String(type)} makes no sense`))
  if (type === "ERROR") return Result.fail(errorOf(place, address, value))
  if (type === "BOOKMARK") {
    const position = versionIn(value)
    if (position === undefined) return nonsense()
    known.advance(position)
    return Result.succeed([])
  }
  const object = objectOf<O>(place.kind, value)
  if (object === undefined) return nonsense()
  if (type === "ADDED" || type === "MODIFIED") return Result.succeed(known.apply(keep(object)))
  return type === "DELETED" ? Result.succeed(known.remove(keep(object))) : nonsense()
}

const errorOf = (place: Place, address: string, value: unknown): ClusterError | Expired => {
  const { code = 0 } = (value ?? {}) as { readonly code?: number }
  const answer = { status: code, retryAfter: undefined, body: JSON.stringify(value ?? {}) }
  return code === 410 ? new Expired() : refusal(address, { verb: "watch", ...place }, answer)
}
