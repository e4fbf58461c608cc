import { it } from "@effect/vitest"
import * as Stage from "./Stage.ts"
import type { Runtime } from "./servers/Program.ts"

/**
 * `it.live` for scenarios of one code: each is played on one of the runtimes, by turns, so that a file shows both without
 * playing everything twice. `EVERY_RUNTIME=true` plays each on both.
 */
export const inTurn = (runtime: Runtime): ((...test: Parameters<typeof it.live>) => void) => {
  let turn = Stage.runtimes.indexOf(runtime)
  return (...test) => {
    if (process.env.EVERY_RUNTIME === "true" || turn++ % Stage.runtimes.length === 0) it.live(...test)
  }
}
