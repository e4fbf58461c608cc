/** Several operators for one namespace, each by a name of its own, and what each of them has changed. */
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { type Ground, inNamespace, reaches } from "./OperatorGround.ts"
import { administrator, newNamespace, OperatorPlane, startOperator } from "./OperatorPlane.ts"
import { endedWell, playPods } from "./PlayedPods.ts"
import { isChange, recordedRequests } from "./RecordedRequests.ts"
import type { Runtime } from "./servers/Program.ts"

const skewed = fileURLToPath(new URL("workers/skewed.ts", import.meta.url))

export interface Member {
  readonly ground: Ground
  readonly user: string
  readonly runtime: Runtime
  readonly skewMillis?: number
}

/** An operator by a name of its own. */
export const member = ({ ground: { namespace }, runtime, skewMillis, user }: Member) =>
  Effect.gen(function* () {
    const kubeconfig = yield* administrator(`${user}-${namespace}`)
    const skew = skewMillis === undefined ? {} : { main: skewed, env: { CLOCK_SKEW_MILLIS: `${skewMillis}` } }
    return yield* startOperator({ namespace, runtime, kubeconfig, ...skew })
  })

/** What a member has changed, the Lease left out. */
export const changesBy = ({ namespace }: Ground, user: string) =>
  Effect.gen(function* () {
    const requests = yield* recordedRequests((yield* OperatorPlane).folder)
    return requests.filter((request) => request.user === `${user}-${namespace}` && isChange(request))
  })

/** What a member has asked of the API server in the namespace, its watches and its Lease left out. */
export const asksOf = ({ namespace }: Ground, user: string) =>
  Effect.gen(function* () {
    const requests = yield* recordedRequests((yield* OperatorPlane).folder)
    return requests
      .filter((request) => request.user === `${user}-${namespace}` && request.namespace === namespace)
      .filter(({ resource, verb }) => verb !== "watch" && resource !== "leases.coordination.k8s.io")
  })

/** Brings so many from their creation to their end. */
export const run = (ground: Ground, names: ReadonlyArray<string>) =>
  Effect.andThen(
    Effect.forEach(names, (name) => ground.create(name), { concurrency: 10 }),
    Effect.forEach(names, (name) => reaches(ground, name, "Succeeded"))
  )

export const named = (prefix: string) => Array.from({ length: 10 }, (_, index) => `${prefix}-${index}`)

/** A namespace in which every pod ends well at once. */
export const place = Effect.gen(function* () {
  const ground = yield* Effect.flatMap(newNamespace, inNamespace)
  yield* playPods([ground.namespace], () => Effect.succeed(endedWell))
  return ground
})
