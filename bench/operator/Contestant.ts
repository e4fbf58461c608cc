/** Who is measured, and how it is started: as an administrator of a name of its own, so that its requests are known. */
import { fileURLToPath } from "node:url"
import { Effect } from "effect"
import { administrator, leads, startOperator } from "../../test/support/OperatorPlane.ts"
import type { Runtime } from "../../test/support/servers/Program.ts"
import * as Base from "../Contestant.ts"
import * as kopf from "./kopf.ts"

export const names = ["product", "bare", "kopf"] as const
type Name = (typeof names)[number]

export type Contestant = Base.Contestant<Name, Runtime | "python">

/** All but kopf on each runtime. */
export const contestantsOf = (only: ReadonlyArray<Name>, runtimes: ReadonlyArray<Runtime>): ReadonlyArray<Contestant> =>
  only.flatMap(
    (name): ReadonlyArray<Contestant> =>
      name === "kopf" ? [{ name, runtime: "python" }] : runtimes.map((runtime) => ({ name, runtime }))
  )

/**
 * What Node has compiled at an earlier start, as the image and every other start have it; Python keeps that by itself.
 * Bun would heed it too, and have 11 MB of files in its memory that no user of it has there.
 */
const compiled = { NODE_COMPILE_CACHE: fileURLToPath(new URL("../../node_modules/.cache/paystream", import.meta.url)) }
const envOf = (runtime: Runtime): Record<string, string> => (runtime === "node" ? compiled : {})

const bare = fileURLToPath(new URL("../reference/bareOperator.ts", import.meta.url))

/** Starts one for a namespace; the product leads then, kopf has nobody to ask. */
export const launch = Effect.fnUntraced(function* (contestant: Contestant, namespace: string, user: string) {
  const { name, runtime } = contestant
  const main = name === "bare" ? { main: bare } : {}
  if (runtime === "python") return yield* kopf.start(namespace, yield* administrator(user))
  const start = Effect.fnUntraced(function* (user: string) {
    const child = yield* startOperator({
      namespace,
      runtime,
      kubeconfig: yield* administrator(user),
      env: envOf(runtime),
      ...main
    })
    yield* child.waitForLine(leads)
    return child
  })
  const earlier = Effect.tap(start(`${user}-before`), (child) => child.kill("SIGTERM"))
  yield* Effect.scoped(Effect.flatMap(earlier, (child) => Base.ended(contestant, child)))
  return yield* start(user)
})
