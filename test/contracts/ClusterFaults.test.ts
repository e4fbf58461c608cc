/** What goes wrong between us and an API server, and what nobody notices of it. */
import { randomUUID } from "node:crypto"
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Layer, Metric, Queue } from "effect"
import { inject } from "vitest"
import type { ClusterError, Forbidden } from "../../src/domain/ClusterError.ts"
import type { ClusterObject } from "../../src/domain/ClusterObjects.ts"
import { Cluster, type ClusterEvent } from "../../src/domain/ports/Cluster.ts"
import { type ClusterOptions, cluster } from "../support/ClusterAccess.ts"
import { newNamespace, throughProxy, withTokenFile } from "../support/Clusters.ts"
import { eventually } from "../support/servers/eventually.ts"
import * as Kubernetes from "../support/servers/Kubernetes.ts"
import { writeKubeconfig } from "../support/servers/KubernetesCertificates.ts"
import { inShort, watched } from "./ClusterContract.ts"

const soon = { deadline: "20 seconds", every: "20 millis" } as const

const create = (namespace: string, name: string) =>
  Cluster.use((cluster) => cluster.create("PaymentJob", { metadata: { namespace, name }, spec: {} }))
const remove = (namespace: string, name: string) =>
  Cluster.use((cluster) => cluster.delete("PaymentJob", { namespace, name }))

const next = <O extends ClusterObject>(queue: Queue.Dequeue<ClusterEvent<O>, ClusterError>) =>
  Effect.map(Queue.take(queue), inShort)

const direct = () => cluster({ kubeconfig: inject("kubernetes").kubeconfig })

/** The sum of a counter over its series with this label. */
const counted = (name: string, label: string, value: string) =>
  Effect.map(Metric.snapshot, (snapshots) =>
    snapshots
      .filter((metric) => metric.id === name && metric.attributes?.[label] === value)
      .reduce((sum, { state }) => sum + Number("count" in state ? state.count : 0), 0)
  )

/** A watch that lives as long as the test. */
const watchedAs = (options: ClusterOptions, namespaces: ReadonlyArray<string>) =>
  Effect.flatMap(Layer.build(cluster(options)), (context) =>
    Effect.provide(watched("PaymentJob", { namespaces }), context)
  )

/** What a watch through a proxy tells; objects are changed beside it. */
const proxied = (namespace: string, options: Partial<ClusterOptions> = {}) =>
  Effect.gen(function* () {
    const { kubeconfig, proxy } = yield* throughProxy(inject("kubernetes"))
    const events = yield* watchedAs({ kubeconfig, ...options }, [namespace])
    return { proxy, events }
  })

it.live("A watch goes on after its connection was cut", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const { events, proxy } = yield* proxied(namespace)
    assert.strictEqual(yield* next(events), "Synced ")
    yield* create(namespace, "one")
    assert.strictEqual(yield* next(events), "Applied one")
    yield* proxy.cut
    yield* create(namespace, "two")
    yield* remove(namespace, "one")
    yield* proxy.heal
    assert.deepStrictEqual(yield* Effect.replicateEffect(next(events), 2), ["Applied two", "Deleted one"])
  }).pipe(Effect.provide(direct()))
)

it.live("What is watched is not alive from a cut until it goes on", () =>
  Effect.gen(function* () {
    const { kubeconfig, proxy } = yield* throughProxy(inject("kubernetes"))
    const context = yield* Layer.build(cluster({ kubeconfig }))
    const events = yield* Effect.provide(watched("Job", { namespaces: [yield* newNamespace] }), context)
    assert.strictEqual(yield* next(events), "Synced ")
    const isAlive = (expected: boolean) =>
      eventually(
        Effect.map(
          Effect.provide(
            Cluster.use(({ areWatchesAlive }) => areWatchesAlive),
            context
          ),
          (are) => assert.strictEqual(are, expected)
        ),
        soon
      )
    yield* isAlive(true)
    yield* proxy.cut
    yield* isAlive(false)
    yield* proxy.heal
    yield* isAlive(true)
  })
)

it.live("Connections that are held up cost one request its time, and not one each", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const { kubeconfig, proxy } = yield* throughProxy(inject("kubernetes"))
    yield* Effect.gen(function* () {
      const list = Cluster.use((cluster) => cluster.list("Job", { namespaces: [namespace] }))
      yield* Effect.replicateEffect(list, 8, { concurrency: 8 })
      yield* proxy.stall
      assert.include((yield* Effect.flip(list)).message, "no answer within the time")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.provide(cluster({ kubeconfig, requestTimeoutSeconds: 2 })))
  })
)

it.live("A watch begins when the API server is there, however late that is", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const { kubeconfig, proxy } = yield* throughProxy(inject("kubernetes"))
    yield* proxy.cut
    const failuresBefore = yield* counted("rest_client_requests_total", "code", "<error>")
    const events = yield* watchedAs({ kubeconfig }, [namespace])
    yield* eventually(
      Effect.map(counted("rest_client_requests_total", "code", "<error>"), (failures) =>
        assert.isAbove(failures, failuresBefore)
      ),
      soon
    )
    yield* proxy.heal
    assert.strictEqual(yield* next(events), "Synced ")
  })
)

it.live("A watch that has gone silent is opened again", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const { events, proxy } = yield* proxied(namespace, { silenceSeconds: 1 })
    assert.strictEqual(yield* next(events), "Synced ")
    yield* create(namespace, "one")
    assert.strictEqual(yield* next(events), "Applied one")
    yield* proxy.stall
    yield* create(namespace, "two")
    assert.strictEqual(yield* next(events), "Applied two")
  }).pipe(Effect.provide(direct()))
)

it.live(
  "A watch whose position the API server has forgotten tells what is different now",
  () =>
    Effect.gen(function* () {
      const server = yield* Kubernetes.start({ crds: [Kubernetes.looseCrd] })
      const namespace = "default"
      const { kubeconfig, proxy } = yield* throughProxy(server)
      const expiredBefore = yield* counted("paystream_watch_relists_total", "reason", "expired")
      yield* Effect.gen(function* () {
        yield* create(namespace, "stays")
        yield* create(namespace, "goes")
        const events = yield* watchedAs({ kubeconfig }, [namespace])
        assert.strictEqual(yield* next(events), "Synced goes,stays")
        yield* proxy.cut
        yield* remove(namespace, "goes")
        yield* create(namespace, "comes")
        // it keeps its history in memory
        yield* server.apiServer.kill
        yield* server.apiServer.start
        yield* proxy.heal
        assert.deepStrictEqual(yield* Effect.replicateEffect(next(events), 2), ["Deleted goes", "Applied comes"])
      }).pipe(Effect.provide(cluster({ kubeconfig: server.kubeconfig })))
      assert.strictEqual(yield* counted("paystream_watch_relists_total", "reason", "expired"), expiredBefore + 1)
    }),
  // a control plane of its own, whose API server starts twice
  { timeout: 180_000 }
)

it.live("A list comes whole, in however many pages", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const names = Array.from({ length: 7 }, (_, index) => `job-${index}`)
    yield* Effect.forEach(names, (name) => create(namespace, name), { concurrency: 7 })
    const scope = { namespaces: [namespace] }
    const listed = yield* Cluster.use((cluster) => cluster.list("PaymentJob", scope)).pipe(
      Effect.provide(cluster({ kubeconfig: inject("kubernetes").kubeconfig, pageSize: 3 }))
    )
    assert.deepStrictEqual(
      listed.map(({ metadata }) => metadata.name),
      names
    )
    assert.isTrue(listed.every((object) => object.kind === "PaymentJob" && !("managedFields" in object.metadata)))
  }).pipe(Effect.provide(direct()))
)

it.live("What was not granted is named: verb, resource and namespace", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const { folder, port } = inject("kubernetes")
    const kubeconfig = yield* writeKubeconfig({ folder, port, name: `nobody-${randomUUID()}`, groups: [] })
    yield* Effect.gen(function* () {
      const seen = { namespace, name: "one" }
      const change = Cluster.use((cluster) => cluster.patchStatus("PaymentJob", seen, { status: {} }))
      const error = yield* Effect.flip(change)
      const { resource, verb, ...reason } = error.reason as Forbidden
      assert.deepStrictEqual(
        [reason._tag, verb, resource, reason.namespace],
        ["Forbidden", "patch", "paymentjobs.payments.example.com/status", namespace]
      )
      assert.include(
        error.message,
        `grant patch on paymentjobs.payments.example.com/status in a Role in namespace ${namespace}`
      )
      const events = yield* watched("Job", { namespaces: [] })
      assert.include((yield* Effect.flip(Queue.take(events))).message, "grant list on jobs.batch in a ClusterRole")
      assert.isFalse(yield* Cluster.use((cluster) => cluster.isGranted({ verb: "get", kind: "Lease", namespace })))
    }).pipe(Effect.provide(cluster({ kubeconfig, refusedFor: Duration.seconds(1) })))
  })
)

it.live("A quota's no is no missing permission: it may pass", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const kubernetes = inject("kubernetes")
    yield* Kubernetes.kubectl(kubernetes, "create", "quota", "none", "-n", namespace, "--hard=count/jobs.batch=0")
    // until its controller has counted, it says no as well, but that it does not know yet
    const untilCounted = ["wait", "--for=jsonpath={.status.used}", "quota/none", "-n", namespace, "--timeout=40s"]
    yield* Kubernetes.kubectl(kubernetes, ...untilCounted)
    const template = { spec: { restartPolicy: "Never" as const, containers: [{ name: "worker", image: "none" }] } }
    const job = { metadata: { namespace, name: "one" }, spec: { suspend: true, template } }
    const error = yield* Effect.flip(Cluster.use((cluster) => cluster.create("Job", job)))
    assert.strictEqual(error.reason._tag, "Refused")
    assert.include(error.message, "exceeded quota")
    assert.isTrue(error.isRetryable)
  }).pipe(Effect.provide(direct()))
)

it.live("A token that was replaced in its file is used at once where the old one is refused", () =>
  Effect.gen(function* () {
    const namespace = yield* newNamespace
    const kubernetes = inject("kubernetes")
    yield* Kubernetes.kubectl(kubernetes, "create", "serviceaccount", "operator", "-n", namespace)
    const subject = `--serviceaccount=${namespace}:operator`
    yield* Kubernetes.kubectl(
      kubernetes,
      "create",
      "rolebinding",
      "operator",
      "-n",
      namespace,
      "--clusterrole=admin",
      subject
    )
    const token = yield* Kubernetes.kubectl(kubernetes, "create", "token", "operator", "-n", namespace)
    const { kubeconfig, replaceToken } = yield* withTokenFile(kubernetes, "worn-out")
    yield* Effect.gen(function* () {
      const list = Cluster.use((cluster) => cluster.list("Job", { namespaces: [namespace] }))
      assert.strictEqual((yield* Effect.flip(list)).reason._tag, "Unauthorized")
      yield* replaceToken(token.trim())
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.provide(cluster({ kubeconfig })))
  })
)
