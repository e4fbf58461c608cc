/**
 * One watch of a kind in one place: a list, then its changes for ever.
 *
 * ## Guarantees
 * - Goes on from the last position after a cut, the server's end of it, or a silence; lists again when the server has
 *   forgotten that position (410), and once an hour whatever happens.
 * - One connection at a time, opened again after 0.1 to 30 seconds, with jitter; a `Retry-After` is waited for.
 * - Takes no more from the connection than is taken from it.
 *
 * ## Assumptions
 * - The API server sends a bookmark about every minute: so it is noticed when it does not. Nothing else depends on it.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Clock, Data, Duration, Effect, Random, Result, type Scope, Stream } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import { type ClusterObject, resourceOf } from "../../domain/ClusterObjects.ts"
import { KnownObjects } from "../../domain/KnownObjects.ts"
import type { ClusterEvent } from "../../domain/ports/Cluster.ts"
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
  readonly pageSize?: number
}

export interface Watch<O> {
  /** What there is; again and again until the server says. */
  readonly begin: Effect.Effect<ReadonlyArray<O>, ClusterError>
  /** Tells what changes then. */
  readonly follow: (
    tell: (events: ReadonlyArray<ClusterEvent<O>>) => Effect.Effect<unknown>
  ) => Effect.Effect<never, ClusterError>
}

/** The server has forgotten the position. */
class Expired extends Data.TaggedError("Expired")<Record<never, never>> {}

/** After so long all is listed again: a safeguard against what nobody has thought of. */
const listedAgainAfter = Duration.toMillis("1 hour")

/** How long the server may keep a watch open: with jitter, so that not all end together. */
const longestWindow = { minimum: 240, maximum: 300 }

const shortestPause = 100
const longestPause = Duration.toMillis("30 seconds")

/** 0.1, 0.2, 0.4 … 30 seconds after so many failures in a row, less a random half. */
const pauseOf = (failures: number, random: number): number =>
  Math.min(longestPause, shortestPause * 2 ** Math.min(failures, 20)) * (1 - random / 2)

export const make = <O extends ClusterObject>(requests: Requests, place: Place, options: WatchOptions): Watch<O> => {
  const known = new KnownObjects<O>()
  const what = `watch ${resourceOf(place.kind)}${place.namespace === undefined ? "" : ` in ${place.namespace}`}`
  /** In a row; what comes from the server ends the row. */
  let failures = 0
  let listedAt = 0
  let listAgainBecause: string | undefined

  const listed = (reason: string) =>
    Effect.gen(function* () {
      const { objects, position } = yield* list<O>(requests, place, options.pageSize)
      listedAt = yield* Clock.currentTimeMillis
      yield* Metrics.countRelist(place.kind, reason)
      yield* Metrics.heard(place.kind, place.namespace)
      const events = known.relist(objects, position)
      return { objects, events }
    })

  const paused = (asked = 0) =>
    Effect.flatMap(Random.next, (random) => Effect.sleep(Math.max(asked, pauseOf(failures, random))))
  /** What may pass is waited for. */
  const survived = (error: ClusterError) => {
    if (!error.isRetryable) return Effect.fail(error)
    failures += 1
    return Effect.andThen(Effect.logWarning(`${what}: ${error.message}`), paused(error.retryAfterMillis))
  }
  const begin: Watch<O>["begin"] = Effect.suspend(() => listed("begin")).pipe(
    Effect.map(({ objects }) => objects),
    Effect.catch((error) => Effect.andThen(survived(error), begin))
  )

  /** One connection, to its end. */
  const session = (tell: (events: ReadonlyArray<ClusterEvent<O>>) => Effect.Effect<unknown>) =>
    Effect.flatMap(chunksOf(requests, place, known.position, options), (chunks) => {
      const lines = new Lines()
      return Stream.runForEach(chunks, (bytes) =>
        Effect.gen(function* () {
          yield* Metrics.heard(place.kind, place.namespace)
          const found = Result.mapError(lines.push(bytes), (error) => away(requests.address, what, error))
          for (const line of yield* Effect.fromResult(found)) {
            const events = yield* Effect.fromResult(eventsOf(known, place, requests.address, line))
            failures = 0
            if (events.length > 0) yield* tell(events)
          }
        })
      )
    }).pipe(Effect.scoped)

  const follow: Watch<O>["follow"] = (tell) =>
    Effect.gen(function* () {
      if (listAgainBecause !== undefined) yield* tell((yield* listed(listAgainBecause)).events)
      listAgainBecause = undefined
      yield* session(tell)
      if ((yield* Clock.currentTimeMillis) - listedAt > listedAgainAfter) listAgainBecause = "age"
      // the server's own end of it: at once, unless it ends all of them so
      if (failures > 0) yield* paused()
      failures += 1
    }).pipe(
      Effect.catchTags({
        Expired: () => {
          listAgainBecause = "expired"
          failures += 1
          return paused()
        },
        ClusterError: survived
      }),
      Effect.forever({ disableYield: true })
    )

  return { begin, follow }
}

/** The bytes of a watch that begins after a position. */
const chunksOf = (
  requests: Requests,
  place: Place,
  position: bigint,
  { silence }: WatchOptions
): Effect.Effect<Stream.Stream<Uint8Array, ClusterError | Expired>, ClusterError | Expired, Scope.Scope> =>
  Effect.gen(function* () {
    const window = yield* Random.nextIntBetween(longestWindow.minimum, longestWindow.maximum)
    const path = queryPath(place, {
      watch: "1",
      allowWatchBookmarks: "true",
      resourceVersion: `${position}`,
      timeoutSeconds: `${window}`
    })
    const opened = yield* requests.open({ method: "GET", path, lane: "watches" })
    if (opened.status === 410) return yield* new Expired()
    if (opened.status !== 200) return yield* refusal(requests.address, { verb: "watch", ...place }, yield* rest(opened))
    yield* Metrics.countOpened(place.kind, "")
    const silent = away(requests.address, `watch ${place.kind}`, `silent for ${Duration.format(silence)}`)
    return NodeStream.fromReadable<Uint8Array, ClusterError>({
      evaluate: () => opened.response,
      onError: (error) => away(requests.address, `watch ${place.kind}`, error)
    }).pipe(Stream.timeoutOrElse({ duration: silence, orElse: () => Stream.fail(silent) }))
  })

/** What a line tells that was not known. */
const eventsOf = <O extends ClusterObject>(
  known: KnownObjects<O>,
  place: Place,
  address: string,
  line: string
): Result.Result<ReadonlyArray<ClusterEvent<O>>, ClusterError | Expired> => {
  const { object: value, type } = parse(line) ?? {}
  const nonsense = () =>
    Result.fail(away(address, `watch ${place.kind}`, `a line of type ${String(type)} makes no sense`))
  if (type === "ERROR") return Result.fail(errorOf(place, address, value))
  if (type === "BOOKMARK") {
    const position = versionIn(value)
    if (position === undefined) return nonsense()
    known.advance(position)
    return Result.succeed([])
  }
  const object = objectOf<O>(place.kind, value)
  if (object === undefined) return nonsense()
  if (type === "ADDED" || type === "MODIFIED") return Result.succeed(known.apply(object))
  return type === "DELETED" ? Result.succeed(known.remove(object)) : nonsense()
}

const errorOf = (place: Place, address: string, value: unknown): ClusterError | Expired => {
  const { code = 0 } = (value ?? {}) as { readonly code?: number }
  const answer = { status: code, retryAfter: undefined, body: JSON.stringify(value ?? {}) }
  return code === 410 ? new Expired() : refusal(address, { verb: "watch", ...place }, answer)
}
