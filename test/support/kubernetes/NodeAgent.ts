/**
 * The node of a control plane that has none. It takes every pod, and does what a scheduler and a kubelet would: looks up
 * its environment, runs its container as a process of this machine, tells the pod's status, and ends it with grace when
 * it is to be deleted. What a container has to itself it has not: the network, the files and the user are the
 * machine's, so that health pages get ports of their own, and what would be mounted is named by its own path.
 */
import { randomUUID } from "node:crypto"
import { Context, Deferred, Effect, FiberMap, Layer, Stream } from "effect"
import type { PodObject } from "../../../src/domain/ClusterObjects.ts"
import { Cluster, type ClusterEvent } from "../../../src/domain/ports/Cluster.ts"
import { OperatorPlane } from "../OperatorPlane.ts"
import type { Child } from "../servers/Child.ts"
import { eventually } from "../servers/eventually.ts"
import type { KubernetesAddress } from "../servers/Kubernetes.ts"
import { ServerError } from "../servers/ServerError.ts"
import * as ApiRequests from "./ApiRequests.ts"
import * as NodePod from "./NodePod.ts"

interface Running {
  readonly pod: string
  /** Asks for its end, with so many seconds of grace. */
  readonly deletion: Deferred.Deferred<number>
  /** The last process. */
  child: Child | undefined
  exitCode: number | undefined
}

export class NodeAgent extends Context.Service<
  NodeAgent,
  {
    /** A signal to a pod's process that does not come from Kubernetes. */
    readonly signal: (pod: string, signal: NodeJS.Signals) => Effect.Effect<void, ServerError>
    /** Asks the API server for a pod's eviction, as a node that is drained does. */
    readonly evict: (namespace: string, pod: string) => Effect.Effect<void, ServerError>
    /** What a pod's process has written, also when the pod is gone. */
    readonly logs: (pod: string) => ReadonlyArray<string>
    /** How it ended; `undefined` while it runs. */
    readonly exitCode: (pod: string) => number | undefined
  }
>()("paystream/test/NodeAgent") {
  /** For the pods with these labels in all namespaces of the control plane; the others are somebody else's. */
  static readonly layerFor = (labels: string | undefined) =>
    Layer.effect(
      NodeAgent,
      Effect.flatMap(OperatorPlane, (plane) => start(plane, labels))
    ).pipe(Layer.provideMerge(OperatorPlane.layer))

  /** For all of them. */
  static readonly layer = NodeAgent.layerFor(undefined)
}

const start = (plane: KubernetesAddress, labels: string | undefined) =>
  Effect.gen(function* () {
    const cluster = yield* Cluster
    const ask = yield* ApiRequests.make(plane)
    const node = `agent-${randomUUID()}`
    yield* join(ask, node)
    const running = new Map<string, Running>()
    const fibers = yield* FiberMap.make<string>()
    const begin = (pod: PodObject) =>
      Effect.gen(function* () {
        const { name, uid } = pod.metadata
        const deletion = yield* Deferred.make<number>()
        const record: Running = { pod: name, deletion, child: undefined, exitCode: undefined }
        running.set(uid, record)
        const began = (child: Child) => Effect.sync(() => void Object.assign(record, { child, exitCode: undefined }))
        const ended = (exitCode: number) => Effect.sync(() => void Object.assign(record, { exitCode }))
        const life = NodePod.run({ ask, plane, node, pod, deletion, began, ended })
        // a pod that stands still is what a test would see of it
        const told = Effect.tapCause(life, (cause) => Effect.logError(`the node's pod ${name}`, cause))
        yield* FiberMap.run(fibers, uid, told)
      })
    const see = (pod: PodObject) =>
      Effect.gen(function* () {
        const known = running.get(pod.metadata.uid)
        if (known === undefined && !NodePod.isFinished(pod)) yield* begin(pod)
        const grace = NodePod.graceOf(pod)
        const record = running.get(pod.metadata.uid)
        if (grace !== undefined && record !== undefined) yield* Deferred.succeed(record.deletion, grace)
      })
    const gone = (pod: PodObject) => FiberMap.remove(fibers, pod.metadata.uid)
    const act = (event: ClusterEvent<PodObject>) => {
      if (event._tag === "Synced") return Effect.forEach(event.objects, see, { discard: true })
      return event._tag === "Applied" ? see(event.object) : gone(event.object)
    }
    const scope = { namespaces: [], ...(labels === undefined ? {} : { labels }) }
    yield* cluster.watch("Pod", scope).pipe(Stream.runForEach(act), Effect.orDie, Effect.forkScoped)
    const find = (pod: string) => [...running.values()].findLast((record) => record.pod === pod)
    return NodeAgent.of({
      signal: (pod, signal) =>
        Effect.suspend(
          () => find(pod)?.child?.kill(signal) ?? new ServerError({ message: `the pod ${pod} does not run` })
        ),
      evict: (namespace, pod) => evict(ask, namespace, pod),
      logs: (pod) => [...(find(pod)?.child?.stdout ?? []), ...(find(pod)?.child?.stderr ?? [])],
      exitCode: (pod) => find(pod)?.exitCode
    })
  })

const accepted = (answer: ApiRequests.ApiAnswer, what: string) =>
  answer.status < 300
    ? Effect.void
    : Effect.fail(new ServerError({ message: `${what}: ${JSON.stringify(answer.body)}` }))

const evict = (ask: ApiRequests.Ask, namespace: string, pod: string) =>
  Effect.gen(function* () {
    const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: pod, namespace } }
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}/eviction`
    yield* accepted(yield* ask({ method: "POST", path, body }), `the eviction of ${pod}`)
  })

/** Makes itself known, and keeps its lease: pods of a node that is not heard of are taken for lost. */
const join = (ask: ApiRequests.Ask, node: string) =>
  Effect.gen(function* () {
    yield* ask({ method: "POST", path: "/api/v1/nodes", body: { metadata: { name: node } } })
    const conditions = [{ type: "Ready", status: "True", reason: "AgentReady", message: "the agent is up" }]
    yield* ask({ method: "PATCH", path: `/api/v1/nodes/${node}/status`, body: { status: { conditions } } })
    const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    const spec = () => ({ holderIdentity: node, leaseDurationSeconds: 40, renewTime: microTime(new Date()) })
    const create = Effect.suspend(() =>
      ask({ method: "POST", path: leases, body: { metadata: { name: node }, spec: spec() } })
    )
    const renew = Effect.suspend(() => ask({ method: "PATCH", path: `${leases}/${node}`, body: { spec: spec() } }))
    const created = Effect.flatMap(create, (answer) => accepted(answer, "the node's lease"))
    // the namespace is made by a controller
    yield* eventually(created, { deadline: "20 seconds" })
    // an API server that is away for once is asked again: the lease is four times as long
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep("10 seconds"), Effect.ignore(renew))))
  })

const microTime = (date: Date): string => date.toISOString().replace("Z", "000Z")
