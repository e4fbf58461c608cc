/**
 * An API server in memory, for tests of what is built on the port.
 *
 * ## Guarantees
 * - Those of the port, as long as the layer lives; watches tell a change at once, in the order of changes.
 * - What changes nothing makes no new version; a status is changed by `patchStatus` only; `generation` grows with `spec`.
 *
 * ## Assumptions
 * - Every namespace exists, everything is granted and served, and every object of a good name is valid, unless
 *   `ClusterTrouble` says otherwise.
 * - Nobody has finalizers, and no other controller runs: a Job's status is what a test makes of it.
 */
import { Clock, Context, Effect, identity, Layer, Queue, Result, Stream } from "effect"
import { ClusterError } from "../../domain/ClusterError.ts"
import type { ClusterObject, Kind, Objects } from "../../domain/ClusterObjects.ts"
import { KnownObjects } from "../../domain/KnownObjects.ts"
import { Cluster, type ClusterEvent, type ObjectName, type Scope, type Watched } from "../../domain/ports/Cluster.ts"
import { type ClusterRequest, ClusterTrouble, type Trouble } from "./ClusterTrouble.ts"
import * as MemoryObjects from "./MemoryObjects.ts"

type Told = ClusterEvent<ClusterObject>

interface Watcher {
  readonly kind: Kind
  readonly scope: Scope
  readonly known: KnownObjects<ClusterObject>
  readonly tell: (events: ReadonlyArray<Told>) => void
}

/** What `ClusterTrouble` changes. */
interface Switches {
  rule: (request: ClusterRequest) => Trouble | undefined
  distort: (event: Told) => ReadonlyArray<Told>
  isCut: boolean
  collectsAtOnce: boolean
}

const makeServer = () => {
  const watchers = new Set<Watcher>()
  const requests: Array<ClusterRequest> = []
  const switches: Switches = {
    rule: () => undefined,
    distort: (event) => [event],
    isCut: false,
    collectsAtOnce: true
  }
  const objects = MemoryObjects.make((change) => {
    if (switches.isCut) return
    for (const watcher of watchers)
      if (watcher.kind === change.kind) watcher.tell(changeTo(watcher, change).flatMap(switches.distort))
  })
  const inScope = <K extends Kind>(kind: K, scope: Scope) =>
    MemoryObjects.all(objects, kind).filter((object) => MemoryObjects.isIn(object, scope))
  return {
    objects,
    requests,
    switches,
    inScope,
    begin: (kind: Kind, scope: Scope, queue: Queue.Enqueue<Told, ClusterError>): Watcher => {
      const known = new KnownObjects<ClusterObject>()
      const listed = inScope(kind, scope)
      known.relist(listed, objects.version)
      const watcher = { kind, scope, known, tell: (events: ReadonlyArray<Told>) => Queue.offerAllUnsafe(queue, events) }
      watcher.tell([{ _tag: "Synced", objects: listed }])
      watchers.add(watcher)
      return watcher
    },
    end: (watcher: Watcher) => watchers.delete(watcher),
    resume: () => {
      switches.isCut = false
      for (const { kind, known, scope, tell } of watchers) tell(known.relist(inScope(kind, scope), objects.version))
    }
  }
}

type Server = ReturnType<typeof makeServer>

const changeTo = ({ known, scope }: Watcher, { isDeleted, object }: MemoryObjects.Change): ReadonlyArray<Told> =>
  isDeleted || !MemoryObjects.isIn(object, scope) ? known.remove(object) : known.apply(object)

/** Has its effect or not, as the rule says; garbage is collected after what may have made some. */
const requestTo =
  ({ objects, requests, switches }: Server) =>
  <A>(asked: ClusterRequest, effect: (now: string) => MemoryObjects.Outcome<A>): Effect.Effect<A, ClusterError> =>
    Effect.flatMap(Clock.currentTimeMillis, (millis) => {
      requests.push(asked)
      const trouble = switches.rule(asked)
      if (trouble !== undefined && trouble.afterEffect !== true) return new ClusterError({ reason: trouble.reason })
      const outcome = effect(new Date(millis).toISOString().replace(/\.\d+/, ""))
      if (switches.collectsAtOnce && (asked.verb === "create" || asked.verb === "delete"))
        MemoryObjects.collectGarbage(objects)
      if (trouble !== undefined) return new ClusterError({ reason: trouble.reason })
      return Effect.mapError(Effect.fromResult(outcome), (reason) => new ClusterError({ reason }))
    })

const clusterOn = (server: Server): Cluster["Service"] => {
  const { begin, end, inScope, objects, switches } = server
  const request = requestTo(server)
  return {
    address: "memory",
    isServed: () => Effect.succeed(true),
    isGranted: (permission) => Effect.sync(() => switches.rule(permission)?.reason._tag !== "Forbidden"),
    watch: <K extends Kind>(kind: K, { keep = identity, ...scope }: Watched<K>) =>
      Stream.map(
        Stream.callback<Told, ClusterError>((queue) =>
          Effect.acquireRelease(
            request({ verb: "watch", kind }, () => Result.succeed(begin(kind, scope, queue))),
            (watcher) => Effect.sync(() => end(watcher))
          )
        ) as Stream.Stream<ClusterEvent<Objects[K]>, ClusterError>,
        (event) => kept(event, keep)
      ),
    areWatchesAlive: Effect.sync(() => !switches.isCut),
    list: <K extends Kind>(kind: K, scope: Scope) =>
      request({ verb: "list", kind }, () => Result.succeed(inScope(kind, scope))),
    get: (kind, name) => request({ verb: "get", kind, ...nameOf(name) }, () => MemoryObjects.get(objects, kind, name)),
    create: (kind, object) =>
      request({ verb: "create", kind, ...nameOf(object.metadata) }, (now) =>
        MemoryObjects.create(objects, kind, object, now)
      ),
    patch: (kind, seen, patch) =>
      request({ verb: "patch", kind, ...nameOf(seen) }, () => MemoryObjects.patch(objects, kind, seen, patch)),
    patchStatus: (kind, seen, patch) =>
      request({ verb: "patch", kind, subresource: "status", ...nameOf(seen) }, () =>
        MemoryObjects.patchStatus(objects, kind, seen, patch)
      ),
    delete: (kind, seen, options) =>
      request({ verb: "delete", kind, ...nameOf(seen) }, (now) =>
        MemoryObjects.remove(objects, kind, seen, { ownedFirst: options?.ownedFirst === true, now })
      )
  }
}

const kept = <O>(event: ClusterEvent<O>, keep: (object: O) => O): ClusterEvent<O> =>
  event._tag === "Synced"
    ? { _tag: "Synced", objects: event.objects.map(keep) }
    : { _tag: event._tag, object: keep(event.object) }

const nameOf = ({ name, namespace }: ObjectName): ObjectName => ({ name, namespace })

const troubleOf = ({ objects, requests, resume, switches }: Server): ClusterTrouble["Service"] => {
  const set = (changes: Partial<Switches>) => Effect.sync(() => void Object.assign(switches, changes))
  return {
    requests: Effect.sync(() => [...requests]),
    onRequest: (rule) => set({ rule }),
    cutWatches: set({ isCut: true }),
    resumeWatches: Effect.sync(resume),
    onEvent: (distort) => set({ distort }),
    collectAtOnce: (collectsAtOnce) => set({ collectsAtOnce }),
    collectGarbage: Effect.sync(() => MemoryObjects.collectGarbage(objects))
  }
}

/** Nothing in it at first, of its own for each use of the layer. */
export const layer: Layer.Layer<Cluster | ClusterTrouble> = Layer.effectContext(
  Effect.sync(() => {
    const server = makeServer()
    return Context.make(Cluster, clusterOn(server)).pipe(Context.add(ClusterTrouble, troubleOf(server)))
  })
)
