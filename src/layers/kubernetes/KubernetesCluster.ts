/** The port on a real API server. */
import { type Duration, Effect, Layer, Queue, Stream } from "effect"
import type { ClusterError } from "../../domain/ClusterError.ts"
import { apiVersionOf, type Kind, kinds, type Objects } from "../../domain/ClusterObjects.ts"
import {
  Cluster,
  type ClusterEvent,
  type Permission,
  type Scope,
  type SeenObject,
  type Watched
} from "../../domain/ports/Cluster.ts"
import type { KubernetesSettings, SettingsError } from "../config/Settings.ts"
import * as Credentials from "./Credentials.ts"
import { type Attempt, away, refusal } from "./KubernetesErrors.ts"
import { list } from "./Lists.ts"
import { collectionPath, groupPath, objectPath, placesOf } from "./Paths.ts"
import * as Requests from "./Requests.ts"
import * as Watch from "./Watch.ts"
import { objectOf, parse } from "./WireObjects.ts"

/** So many changes wait for who watches; beyond, nothing more is taken from the connection. */
const bufferSize = 4_096

type Called = Pick<Requests.Call, "method" | "path" | "body" | "contentType">

const clusterOn = (requests: Requests.Requests, options: Watch.WatchOptions): Cluster["Service"] => {
  const { address } = requests
  const watches: Watches = new Set()

  /** An answer 2xx, as text; else what is wrong. */
  const answered = (attempt: Attempt, called: Called): Effect.Effect<string, ClusterError> =>
    Effect.flatMap(requests.send({ ...called, lane: attempt.kind === "Lease" ? "leases" : "requests" }), (answer) =>
      answer.status >= 200 && answer.status < 300
        ? Effect.succeed(answer.body)
        : Effect.fail(refusal(address, attempt, answer))
    )
  const one = <K extends Kind>(attempt: Attempt & { readonly kind: K }, called: Called) =>
    Effect.flatMap(answered(attempt, called), (body) => {
      const object = objectOf<Objects[K]>(attempt.kind, parse(body))
      return object === undefined
        ? Effect.fail(away(address, `${attempt.verb} ${attempt.kind}`, "the answer is no such object"))
        : Effect.succeed(object)
    })
  const patch = <K extends Kind>(kind: K, seen: SeenObject, change: Record<string, unknown>, subresource?: string) =>
    one(
      { verb: "patch", kind, namespace: seen.namespace, name: seen.name, ...(subresource ? { subresource } : {}) },
      {
        method: "PATCH",
        path: objectPath(kind, seen.namespace, seen.name, subresource),
        contentType: "application/merge-patch+json",
        body: { ...change, metadata: { ...(change["metadata"] as object), ...preconditionsOf(seen) } }
      }
    )

  return {
    address,
    isServed: (kind) => isServed(requests, kind),
    isGranted: (permission) => isGranted(requests, permission),
    watch: (kind, watched) => watch(requests, options, watches, kind, watched),
    areWatchesAlive: Effect.sync(() => [...watches].every(({ isAlive }) => isAlive())),
    list: <K extends Kind>(kind: K, scope: Scope) =>
      Effect.forEach(placesOf(kind, scope), (place) => list<Objects[K]>(requests, place, options.pageSize)).pipe(
        Effect.map((listings) => listings.flatMap(({ objects }) => objects))
      ),
    get: (kind, { name, namespace }) =>
      one({ verb: "get", kind, namespace, name }, { method: "GET", path: objectPath(kind, namespace, name) }),
    create: (kind, object) =>
      one(
        { verb: "create", kind, namespace: object.metadata.namespace, name: object.metadata.name },
        {
          method: "POST",
          path: collectionPath(kind, object.metadata.namespace),
          body: { ...object, apiVersion: apiVersionOf(kind), kind }
        }
      ),
    patch: (kind, seen, change) => patch(kind, seen, change),
    patchStatus: (kind, seen, change) => patch(kind, seen, change, "status"),
    delete: (kind, seen, { ownedFirst } = { ownedFirst: false }) =>
      answered(
        { verb: "delete", kind, namespace: seen.namespace, name: seen.name },
        {
          method: "DELETE",
          path: objectPath(kind, seen.namespace, seen.name),
          body: {
            apiVersion: "v1",
            kind: "DeleteOptions",
            // said always: the default of Jobs is to leave their pods behind
            propagationPolicy: ownedFirst ? "Foreground" : "Background",
            preconditions: preconditionsOf(seen)
          }
        }
      ).pipe(Effect.asVoid)
  }
}

const preconditionsOf = ({ resourceVersion, uid }: SeenObject) => ({
  ...(resourceVersion === undefined ? {} : { resourceVersion }),
  ...(uid === undefined ? {} : { uid })
})

/** Those that go on. */
type Watches = Set<Pick<Watch.Watch<never>, "isAlive">>

const whileWatched = (watches: Watches, watch: Pick<Watch.Watch<never>, "isAlive">) =>
  Effect.acquireRelease(
    Effect.sync(() => watches.add(watch)),
    () => Effect.sync(() => watches.delete(watch))
  )

/** A watch of each place; told together, once each has begun. */
const watch = <K extends Kind>(
  requests: Requests.Requests,
  options: Watch.WatchOptions,
  all: Watches,
  kind: K,
  { keep, ...scope }: Watched<K>
): Stream.Stream<ClusterEvent<Objects[K]>, ClusterError> =>
  Stream.callback(
    (queue) =>
      Effect.gen(function* () {
        const watches = placesOf(kind, scope).map((place) => Watch.make<Objects[K]>(requests, place, options, keep))
        const whole = (): ClusterEvent<Objects[K]> => ({
          _tag: "Synced",
          objects: watches.flatMap(({ objects }) => objects())
        })
        yield* Effect.forEach(watches, (watch) => whileWatched(all, watch), { discard: true })
        // what is void in one place is told anew with what there is in the others
        const tell = (events: ReadonlyArray<ClusterEvent<Objects[K]>>) =>
          Queue.offerAll(
            queue,
            events.map((event) => (event._tag === "Synced" ? whole() : event))
          )
        yield* Effect.forEach(watches, ({ begin }) => begin, { concurrency: "unbounded", discard: true })
        yield* tell([whole()])
        return yield* Effect.forEach(watches, ({ follow }) => follow(tell), { concurrency: "unbounded" })
      }),
    { bufferSize }
  )

const isServed = (requests: Requests.Requests, kind: Kind): Effect.Effect<boolean, ClusterError> =>
  Effect.flatMap(requests.send({ method: "GET", path: groupPath(kind), lane: "requests" }), (answer) => {
    if (answer.status === 404) return Effect.succeed(false)
    if (answer.status !== 200) return Effect.fail(refusal(requests.address, { verb: "get", kind }, answer))
    const { resources } = (parse(answer.body) ?? {}) as {
      readonly resources?: ReadonlyArray<{ readonly name: string }>
    }
    return Effect.succeed((resources ?? []).some(({ name }) => name === kinds[kind].plural))
  })

const reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

/** Everybody may ask that about himself. */
const isGranted = (requests: Requests.Requests, permission: Permission): Effect.Effect<boolean, ClusterError> => {
  const { kind, namespace, subresource, verb } = permission
  const { group, plural } = kinds[kind]
  const resourceAttributes = { verb, group, resource: plural, subresource, namespace }
  const body = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: { resourceAttributes } }
  return Effect.flatMap(requests.send({ method: "POST", path: reviews, lane: "requests", body }), (answer) => {
    if (answer.status !== 201) return Effect.fail(refusal(requests.address, permission, answer))
    const { status } = (parse(answer.body) ?? {}) as { readonly status?: { readonly allowed?: boolean } }
    return Effect.succeed(status?.allowed === true)
  })
}

/** The cluster that the settings name. */
export const layer = (
  settings: Pick<KubernetesSettings, "access" | "requestTimeout" | "watchSilence"> & {
    readonly pageSize?: number
    readonly refusedFor?: Duration.Duration
  }
): Layer.Layer<Cluster, SettingsError> =>
  Layer.effect(
    Cluster,
    Effect.gen(function* () {
      const credentials = yield* Credentials.load(settings.access)
      const requests = yield* Requests.make(credentials, settings.requestTimeout)
      const { watchSilence: silence, ...options } = settings
      return clusterOn(requests, { ...options, silence })
    })
  )
