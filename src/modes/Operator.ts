/** `--mode=operator`: a Job for each PaymentJob of a Kubernetes cluster, and how it goes in its status. */
import { Duration, Effect, Layer, Random, Result, Schedule, Stream } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import * as KubernetesCluster from "../layers/kubernetes/KubernetesCluster.ts"
import { enlargeYoungGeneration, garbageCollector } from "../layers/process/Memory.ts"
import * as Controller from "../operator/Controller.ts"
import { leaderElection } from "../operator/LeaderElection.ts"
import { alone } from "../operator/Leadership.ts"
import { leaseNameOf } from "../operator/Names.ts"
import { startChecks } from "../operator/StartChecks.ts"
import { Shutdown, untilShutdown } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"
import { longRunning } from "./LongRunning.ts"
import * as Part from "./Part.ts"

const settings = Settings.all({ kubernetes: Settings.kubernetesSettings, operator: Settings.operatorSettings })

type Given = typeof settings extends Settings.Group<infer A> ? A : never
type Election = Given["operator"]["election"]

const noBroker: Settings.Group<ReadonlyArray<Settings.BrokerKind>> = {
  settings: [],
  read: () => Result.succeed([])
}

/** Of this start of this process alone. */
const identityOf = (host: string) =>
  Effect.map(Random.nextIntBetween(0, 2 ** 40), (number) => `${host}_${number.toString(36)}`)

const leadershipOf = Effect.fnUntraced(function* (election: Election, namespaces: ReadonlyArray<string>) {
  if (election === undefined) return alone
  const { host, name = leaseNameOf(namespaces), namespace } = election
  return yield* leaderElection({ namespace, name, identity: yield* identityOf(host) })
})

/** Whether it knows what there is, and can reach the API server: not before it has begun. */
interface Readiness {
  isReady: Effect.Effect<boolean>
}

const collectedEvery = Duration.millis(250)

/** It runs beside what it operates, and on the same memory. */
const staysSmall = (collect: () => void) =>
  Stream.fromSchedule(Schedule.spaced(collectedEvery)).pipe(
    Stream.mapEffect(() => Effect.sync(collect)),
    untilShutdown
  )

const run = (given: Given, readiness: Readiness) =>
  Effect.gen(function* () {
    const { election, imagePullPolicy, workers } = given.operator
    const { namespaces } = given.kubernetes
    // in this order: what the start has left behind is given back, and with it what the young generation has grown to
    const collect = yield* Effect.sync(garbageCollector)
    yield* Effect.sync(() => enlargeYoungGeneration(4))
    const checks = startChecks({ namespaces, leaseNamespace: election?.namespace })
    yield* Stream.runDrain(Stream.fromEffect(checks).pipe(supervised("start")))
    // asked to stop meanwhile
    if (yield* (yield* Shutdown).isRequested) return
    const leadership = yield* leadershipOf(election, namespaces)
    const controller = yield* Controller.make({ namespaces, workers, imagePullPolicy, leadership })
    readiness.isReady = controller.isReady
    // what is in hand is finished before the lease is given up
    const work = Effect.forEach([...controller.streams, staysSmall(collect)], (stream) => Stream.runDrain(stream), {
      concurrency: "unbounded",
      discard: true
    })
    yield* Effect.raceFirst(work, leadership.lost)
  })

const part = Part.make("operator", { broker: noBroker, database: false }, settings, (given) =>
  Effect.succeed({
    maxConnections: 0,
    maxBytesInFlight: 0,
    introduction: {},
    open: () =>
      Effect.gen(function* () {
        const cluster = yield* Layer.build(KubernetesCluster.layer(given.kubernetes))
        const readiness: Readiness = { isReady: Effect.succeed(false) }
        return {
          dependencies: [{ name: "kubernetes", isReady: Effect.suspend(() => readiness.isReady) }],
          run: Effect.provide(run(given, readiness), cluster)
        }
      })
  })
)

/** Runs until it is stopped; it has no use for a database or a broker. */
export const operator = Effect.gen(function* () {
  const environment = Settings.override(yield* Settings.environment, { DATABASE: "none" })
  yield* longRunning({ mode: "operator", parts: [part], environment })
})
