/** A pod on the node of the tests, from its binding to its end. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Deferred, Effect, type Scope } from "effect"
import type { Container, ContainerState, PodObject } from "../../../src/domain/ClusterObjects.ts"
import { type Child, spawn } from "../servers/Child.ts"
import { realSleep } from "../servers/eventually.ts"
import { freePort } from "../servers/freePort.ts"
import type { KubernetesAddress } from "../servers/Kubernetes.ts"
import { ServerError } from "../servers/ServerError.ts"
import { temporaryFolder } from "../servers/temporaryFolder.ts"
import type { ApiAnswer, Ask } from "./ApiRequests.ts"
import * as ContainerEnvironment from "./ContainerEnvironment.ts"
import * as Images from "./Images.ts"
import { probing } from "./Probe.ts"
import * as ServiceAccount from "./ServiceAccount.ts"

export interface PodOptions {
  readonly ask: Ask
  readonly plane: KubernetesAddress
  readonly node: string
  readonly pod: PodObject
  /** Asked to end, with so many seconds of grace. */
  readonly deletion: Deferred.Deferred<number>
  /** Told of each process. */
  readonly began: (child: Child) => Effect.Effect<void>
  /** Told how each has ended. */
  readonly ended: (exitCode: number) => Effect.Effect<void>
}

type Ended = NonNullable<ContainerState["terminated"]>
type Phase = "Pending" | "Running" | "Succeeded" | "Failed"

/** A process that was ended, or that nobody has to start any more. */
export const isFinished = ({ status }: PodObject): boolean =>
  status?.phase === "Succeeded" || status?.phase === "Failed"

/** How long it may take to end, if it is to; as the API server has it. */
export const graceOf = ({ metadata, spec }: PodObject): number | undefined => {
  if (metadata.deletionTimestamp === undefined) return undefined
  return metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30
}

const pathOf = ({ metadata }: PodObject): string => `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`

/** Runs it to its end, and waits until it is to go. */
export const run = (options: PodOptions): Effect.Effect<void, ServerError> =>
  Effect.gen(function* () {
    const { ask, deletion, node, pod } = options
    const target = { apiVersion: "v1", kind: "Node", name: node }
    const path = pathOf(pod)
    yield* ask({ method: "POST", path: `${path}/binding`, body: { metadata: { name: pod.metadata.name }, target } })
    const ended = yield* runContainer(options)
    yield* tell(options, ended?.exitCode === 0 ? "Succeeded" : "Failed", ended && { terminated: ended })
    // only when all has ended that was in it
    yield* Deferred.await(deletion)
    const body = { gracePeriodSeconds: 0, preconditions: { uid: pod.metadata.uid } }
    yield* accepted(`the end of ${path}`, yield* ask({ method: "DELETE", path, body }))
  }).pipe(Effect.scoped)

/** How its container ended at last; `undefined` if it never began. */
const runContainer = (options: PodOptions): Effect.Effect<Ended | undefined, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const { deletion, pod } = options
    const folder = yield* temporaryFolder("pod")
    const asked = Deferred.isDone(deletion)
    yield* tell(options, "Pending", { waiting: { reason: "ContainerCreating" } })
    while (!(yield* asked)) {
      const prepared = yield* prepare(options, folder)
      if ("waiting" in prepared) {
        yield* tell(options, "Pending", { waiting: prepared.waiting })
        yield* Effect.raceFirst(realSleep("300 millis"), Deferred.await(deletion))
        continue
      }
      const ended = yield* Effect.scoped(runOnce(options, prepared, folder))
      if (pod.spec.restartPolicy !== "Always" || (yield* asked)) return ended
      const waiting = { reason: "CrashLoopBackOff", message: `ended with ${ended.exitCode}` }
      yield* tell(options, "Running", { waiting })
      yield* Effect.raceFirst(realSleep("1 second"), Deferred.await(deletion))
    }
    return undefined
  })

interface Prepared {
  readonly command: readonly [program: string, ...args: ReadonlyArray<string>]
  readonly env: Readonly<Record<string, string>>
  readonly healthPort: number
}

const containerOf = ({ metadata, spec }: PodObject): Container => {
  const [container] = spec.containers
  if (container === undefined) throw new Error(`the pod ${metadata.name} has no container`)
  return container
}

const terminationFile = (folder: string): string => join(folder, "termination-log")

/** What to run, and with what; or why it has to wait. */
const prepare = ({ ask, plane, pod }: PodOptions, folder: string) =>
  Effect.gen(function* () {
    const container = containerOf(pod)
    const image = Images.find(container.image)
    if (image === undefined) {
      return { waiting: { reason: "ErrImagePull", message: `no image ${container.image} on this node` } }
    }
    const own = yield* ContainerEnvironment.resolve(ask, pod, container)
    if (own._tag === "Missing") return { waiting: { reason: "CreateContainerConfigError", message: own.message } }
    const healthPort = yield* freePort
    const mounted = own.env["TERMINATION_MESSAGE_PATH"] === container.terminationMessagePath
    const prepared: Prepared = {
      command: Images.commandOf(image, container),
      healthPort,
      env: {
        PATH: process.env.PATH ?? "",
        HOSTNAME: pod.metadata.name,
        TMPDIR: folder,
        ...image.env,
        ...(yield* ServiceAccount.environmentOf({ ask, plane, pod })),
        ...own.env,
        ...(mounted ? { TERMINATION_MESSAGE_PATH: terminationFile(folder) } : {}),
        HEALTH_PORT: `${healthPort}`
      }
    }
    return prepared
  })

const runOnce = (options: PodOptions, { command, env, healthPort }: Prepared, folder: string) =>
  Effect.gen(function* () {
    const { began, deletion, pod } = options
    const [program, ...args] = command
    const child = yield* spawn(program, args, { cwd: folder, env })
    yield* began(child)
    const startedAt = now()
    const running = (ready: boolean) => tell(options, "Running", { running: { startedAt } }, ready)
    const probe = containerOf(pod) as { readonly readinessProbe?: Parameters<typeof probing>[0] }
    yield* running(probe.readinessProbe === undefined)
    if (probe.readinessProbe !== undefined) {
      yield* Effect.forkScoped(probing(probe.readinessProbe, healthPort, running))
    }
    const exitCode = yield* Effect.raceFirst(child.exit, endedWithGrace(child, deletion))
    yield* options.ended(exitCode)
    const message = yield* Effect.promise(() => readFile(terminationFile(folder), "utf8").catch(() => ""))
    const reason = exitCode === 0 ? "Completed" : "Error"
    const ended: Ended = { exitCode, reason, message: message.slice(0, 4096), startedAt, finishedAt: now() }
    return ended
  })

const endedWithGrace = (child: Child, deletion: Deferred.Deferred<number>) =>
  Effect.gen(function* () {
    const grace = yield* Deferred.await(deletion)
    yield* child.kill("SIGTERM")
    const killed = Effect.andThen(realSleep(grace * 1000), Effect.andThen(child.kill("SIGKILL"), child.exit))
    return yield* Effect.raceFirst(child.exit, killed)
  })

const now = (): string => `${new Date().toISOString().slice(0, 19)}Z`

/** Tells the API server how it stands; a pod that is gone meanwhile is told nothing. */
const tell = ({ ask, pod }: PodOptions, phase: Phase, state: ContainerState | undefined, ready = false) => {
  const { image, name } = containerOf(pod)
  const status = ready ? "True" : "False"
  const container = { name, image, imageID: image, restartCount: 0, ready, state: state ?? {} }
  return ask({
    method: "PATCH",
    path: `${pathOf(pod)}/status`,
    body: {
      metadata: { uid: pod.metadata.uid },
      status: {
        phase,
        ...(state === undefined ? {} : { containerStatuses: [container] }),
        conditions: ["Initialized", "PodScheduled"]
          .map((type) => ({ type, status: "True" }))
          .concat(["Ready", "ContainersReady"].map((type) => ({ type, status })))
      }
    }
  }).pipe(Effect.flatMap((answer) => accepted(`the status of ${pathOf(pod)}`, answer)))
}

/** That the pod is gone meanwhile, or is another one, is no failure. */
const accepted = (what: string, { body, status }: ApiAnswer) =>
  status < 300 || status === 404 || status === 409
    ? Effect.void
    : Effect.fail(new ServerError({ message: `${what}: ${JSON.stringify(body)}` }))
