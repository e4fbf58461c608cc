/** What every implementation of the port promises. */
import { assert, layer } from "@effect/vitest"
import { Effect, type Layer, Queue, type Scope, Stream } from "effect"
import type { ClusterError } from "../../src/domain/ClusterError.ts"
import {
  type ClusterObject,
  type Kind,
  type Objects,
  type PaymentJobObject,
  versionOf
} from "../../src/domain/ClusterObjects.ts"
import { Cluster, type ClusterEvent, type Watched } from "../../src/domain/ports/Cluster.ts"
import { eventually } from "../support/servers/eventually.ts"

/** What the suite needs besides the port. */
export interface Ground<E> {
  /** A namespace that nobody else uses. */
  readonly newNamespace: Effect.Effect<string, E>
}

const soon = { deadline: "20 seconds", every: "20 millis" } as const

const paymentJob = (namespace: string, name: string, labels: Record<string, string> = {}) => ({
  metadata: { namespace, name, labels },
  spec: { queueName: "payments.pending", maxMessages: 10 }
})

const create = (namespace: string, name: string, labels?: Record<string, string>) =>
  Cluster.use((cluster) => cluster.create("PaymentJob", paymentJob(namespace, name, labels)))

const jobOwnedBy = ({ metadata }: ClusterObject, name: string) => ({
  metadata: {
    namespace: metadata.namespace,
    name,
    ownerReferences: [
      {
        apiVersion: "payments.example.com/v1alpha1",
        kind: "PaymentJob",
        name: metadata.name,
        uid: metadata.uid,
        controller: true,
        blockOwnerDeletion: true
      }
    ]
  },
  spec: {
    suspend: true,
    template: { spec: { restartPolicy: "Never" as const, containers: [{ name: "worker", image: "none" }] } }
  }
})

/** What a watch tells, as it comes. */
export const watched = <K extends Kind>(
  kind: K,
  scope: Watched<K>
): Effect.Effect<Queue.Dequeue<ClusterEvent<Objects[K]>, ClusterError>, never, Cluster | Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const queue = yield* Queue.unbounded<ClusterEvent<Objects[K]>, ClusterError>()
    yield* cluster.watch(kind, scope).pipe(
      Stream.runForEach((event) => Queue.offer(queue, event)),
      Effect.catch((error) => Queue.fail(queue, error)),
      Effect.forkScoped
    )
    return queue
  })

/** An event, in short: a test says what it expects in one line each. */
export const inShort = (event: ClusterEvent<ClusterObject>): string =>
  event._tag === "Synced"
    ? `Synced ${event.objects
        .map(({ metadata }) => metadata.name)
        .toSorted()
        .join(",")}`
    : `${event._tag} ${event.object.metadata.name}`

const next = <O extends ClusterObject>(queue: Queue.Dequeue<ClusterEvent<O>, ClusterError>) =>
  Effect.map(Queue.take(queue), inShort)

const reasonOf = <A, R>(effect: Effect.Effect<A, ClusterError, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)

export const suite = <E, E2>(name: string, implementation: Layer.Layer<Cluster, E>, { newNamespace }: Ground<E2>) =>
  layer(implementation, { excludeTestServices: true })(`Cluster (${name})`, (it) => {
    it.effect("tells of what there is once, then of each change in its order", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        yield* create(namespace, "one")
        const events = yield* watched("PaymentJob", { namespaces: [namespace] })
        assert.strictEqual(yield* next(events), "Synced one")
        yield* create(namespace, "two")
        yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { spec: { maxMessages: 11 } })
        yield* cluster.patchStatus("PaymentJob", { namespace, name: "two" }, { status: { phase: "Pending" } })
        yield* cluster.delete("PaymentJob", { namespace, name: "one" })
        assert.deepStrictEqual(yield* Effect.replicateEffect(next(events), 4), [
          "Applied two",
          "Applied one",
          "Applied two",
          "Deleted one"
        ])
      })
    )

    it.effect("says that its watches are alive when they have begun, and where there is none", () =>
      Effect.gen(function* () {
        const cluster = yield* Cluster
        const alive = Effect.map(cluster.areWatchesAlive, (are) => assert.isTrue(are))
        yield* eventually(alive, soon)
        const events = yield* watched("PaymentJob", { namespaces: [yield* newNamespace, yield* newNamespace] })
        assert.strictEqual(yield* next(events), "Synced ")
        yield* eventually(alive, soon)
      })
    )

    it.effect("tells of each object only what is to be kept", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        yield* create(namespace, "one", { app: "x" })
        const keep = ({ spec: _, ...object }: PaymentJobObject): PaymentJobObject => ({ ...object, spec: {} })
        const events = yield* watched("PaymentJob", { namespaces: [namespace], keep })
        const synced = yield* Queue.take(events)
        yield* create(namespace, "two")
        const told = [synced, yield* Queue.take(events)].flatMap((event) =>
          event._tag === "Synced" ? event.objects : [event.object]
        )
        assert.deepStrictEqual(
          told.map(({ metadata, spec }) => [metadata.name, spec]),
          [
            ["one", {}],
            ["two", {}]
          ]
        )
      })
    )

    it.effect("tells of some namespaces together, and of no other", () =>
      Effect.gen(function* () {
        const [first, second, other] = [yield* newNamespace, yield* newNamespace, yield* newNamespace]
        yield* create(first, "one")
        yield* create(second, "two")
        yield* create(other, "other")
        const events = yield* watched("PaymentJob", { namespaces: [first, second] })
        assert.strictEqual(yield* next(events), "Synced one,two")
        yield* create(other, "another")
        yield* create(second, "three")
        assert.strictEqual(yield* next(events), "Applied three")
      })
    )

    it.effect("tells of what has the labels asked for, and that it is gone when it has them no more", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        yield* create(namespace, "one", { app: "x" })
        yield* create(namespace, "two", { app: "y" })
        const scope = { namespaces: [namespace], labels: "app=x" }
        const events = yield* watched("PaymentJob", scope)
        assert.strictEqual(yield* next(events), "Synced one")
        yield* cluster.patch("PaymentJob", { namespace, name: "two" }, { metadata: { labels: { app: "x" } } })
        yield* cluster.patch("PaymentJob", { namespace, name: "one" }, { metadata: { labels: { app: null } } })
        assert.deepStrictEqual(yield* Effect.replicateEffect(next(events), 2), ["Applied two", "Deleted one"])
        const listed = yield* cluster.list("PaymentJob", scope)
        assert.deepStrictEqual(
          listed.map(({ metadata }) => metadata.name),
          ["two"]
        )
      })
    )

    it.effect("tells of an object that was deleted and made again as two", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const before = yield* create(namespace, "one")
        const events = yield* watched("PaymentJob", { namespaces: [namespace] })
        assert.strictEqual(yield* next(events), "Synced one")
        yield* cluster.delete("PaymentJob", { namespace, name: "one" })
        const after = yield* create(namespace, "one")
        assert.deepStrictEqual(yield* Effect.replicateEffect(next(events), 2), ["Deleted one", "Applied one"])
        assert.notStrictEqual(after.metadata.uid, before.metadata.uid)
        assert.isAbove(Number(versionOf(after)), Number(versionOf(before)))
      })
    )

    it.effect("makes one object of a name, however many ask at the same time", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const outcomes = yield* Effect.forEach(
          Array.from({ length: 10 }),
          () =>
            create(namespace, "one").pipe(
              Effect.as("made"),
              Effect.catch(({ reason }) => Effect.succeed(reason._tag))
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(outcomes.toSorted(), [...Array.from({ length: 9 }, () => "AlreadyExists"), "made"])
      })
    )

    it.effect("changes and deletes only the object that was seen", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const { metadata } = yield* create(namespace, "one")
        const name = { namespace, name: "one" }
        const seen = { ...name, resourceVersion: metadata.resourceVersion }
        yield* cluster.patchStatus("PaymentJob", seen, { status: { phase: "Pending" } })
        const again = cluster.patchStatus("PaymentJob", seen, { status: { phase: "Running" } })
        assert.strictEqual(yield* reasonOf(again), "Conflict")
        const uid = "00000000-0000-4000-8000-00000000dead"
        assert.strictEqual(yield* reasonOf(cluster.patch("PaymentJob", { ...name, uid }, { spec: {} })), "Conflict")
        assert.strictEqual(yield* reasonOf(cluster.delete("PaymentJob", { ...name, uid })), "Conflict")
        const now = yield* cluster.get("PaymentJob", name)
        assert.deepStrictEqual(now.status, { phase: "Pending" })
        assert.strictEqual(now.metadata.uid, metadata.uid)
      })
    )

    it.effect("keeps status and the rest apart, and makes no new version where nothing changes", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const name = { namespace, name: "one" }
        const created = yield* create(namespace, "one")
        assert.isUndefined(created.status)
        assert.strictEqual(created.metadata.generation, 1)
        const told = { status: { phase: "Pending" }, spec: { maxMessages: 99 } }
        const withStatus = yield* cluster.patchStatus("PaymentJob", name, told)
        assert.deepStrictEqual(withStatus.spec, created.spec)
        assert.strictEqual(withStatus.metadata.generation, 1)
        const changed = yield* cluster.patch("PaymentJob", name, { ...told, status: { phase: "Failed" } })
        assert.strictEqual(changed.spec["maxMessages"], 99)
        assert.deepStrictEqual(changed.status, { phase: "Pending" })
        assert.strictEqual(changed.metadata.generation, 2)
        const same = yield* cluster.patch("PaymentJob", name, { spec: { maxMessages: 99 } })
        assert.strictEqual(same.metadata.resourceVersion, changed.metadata.resourceVersion)
      })
    )

    it.effect("says that there is none, whatever was to be done with it", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const name = { namespace, name: "none" }
        assert.strictEqual(yield* reasonOf(cluster.get("Job", name)), "NotFound")
        assert.strictEqual(yield* reasonOf(cluster.patch("Job", name, { spec: {} })), "NotFound")
        assert.strictEqual(yield* reasonOf(cluster.delete("Job", name)), "NotFound")
      })
    )

    it.effect("says what is wrong with an object that cannot be", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const error = yield* Effect.flip(create(namespace, "Not_A_Name"))
        assert.strictEqual(error.reason._tag, "Invalid")
        assert.include(error.message, "Not_A_Name")
        assert.isFalse(error.isRetryable)
      })
    )

    it.effect("deletes what an object owns with it", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const owner = yield* create(namespace, "one")
        yield* cluster.create("Job", jobOwnedBy(owner, "one-job"))
        yield* cluster.delete("PaymentJob", { namespace, name: "one" })
        const gone = reasonOf(cluster.get("Job", { namespace, name: "one-job" }))
        assert.strictEqual(yield* eventually(gone, soon), "NotFound")
      })
    )

    it.effect("lets an object go after what it owns, where asked to", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const owner = yield* create(namespace, "one")
        yield* cluster.create("Job", jobOwnedBy(owner, "one-job"))
        yield* cluster.delete("PaymentJob", { namespace, name: "one" }, { ownedFirst: true })
        yield* eventually(reasonOf(cluster.get("PaymentJob", { namespace, name: "one" })), soon)
        assert.strictEqual(yield* reasonOf(cluster.get("Job", { namespace, name: "one-job" })), "NotFound")
      })
    )

    it.effect("keeps leases and events as they were written", () =>
      Effect.gen(function* () {
        const namespace = yield* newNamespace
        const cluster = yield* Cluster
        const spec = {
          holderIdentity: "one",
          leaseDurationSeconds: 10,
          leaseTransitions: 0,
          renewTime: "2026-01-02T03:04:05.678901Z"
        }
        const lease = yield* cluster.create("Lease", { metadata: { namespace, name: "leader" }, spec })
        assert.deepStrictEqual(lease.spec, spec)
        const seen = { namespace, name: "leader", resourceVersion: lease.metadata.resourceVersion }
        yield* cluster.patch("Lease", seen, { spec: { holderIdentity: null } })
        assert.strictEqual(yield* reasonOf(cluster.patch("Lease", seen, { spec })), "Conflict")
        const { metadata } = yield* create(namespace, "one")
        const { name, uid } = metadata
        const event = yield* cluster.create("Event", {
          metadata: { namespace, name: "one.1" },
          involvedObject: { apiVersion: "payments.example.com/v1alpha1", kind: "PaymentJob", namespace, name, uid },
          type: "Normal",
          reason: "JobCreated",
          message: "made",
          count: 1,
          firstTimestamp: "2026-01-02T03:04:05Z",
          lastTimestamp: "2026-01-02T03:04:05Z",
          source: { component: "test" }
        })
        assert.deepStrictEqual([event.reason, event.involvedObject.uid], ["JobCreated", uid])
      })
    )

    it.effect("knows the kinds that we need, and what we may do", () =>
      Effect.gen(function* () {
        const cluster = yield* Cluster
        for (const kind of ["PaymentJob", "Job", "Pod", "Lease", "Event"] as const)
          assert.isTrue(yield* cluster.isServed(kind), kind)
        assert.isTrue(yield* cluster.isGranted({ verb: "patch", kind: "PaymentJob", subresource: "status" }))
      })
    )
  })
