/** What is measured: whole processes that take the same settings and do the same work. */
import { Effect } from "effect"
import type { Child } from "../test/support/servers/Child.ts"
import type { Runtime } from "../test/support/servers/Program.ts"
import { check } from "./BenchmarkError.ts"

export interface Contestant<out Name extends string = string> {
  readonly name: Name
  readonly runtime: Runtime
}

/** `product on bun`, for people. */
export const titleOf = ({ name, runtime }: Contestant): string => `${name} on ${runtime}`

/** Waits for its end, which must be a good one. */
export const ended = Effect.fnUntraced(function* (contestant: Contestant, child: Child) {
  const code = yield* child.exit
  const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
  yield* check(code === 0, `${titleOf(contestant)} ended with ${code}, having written:\n${written}`)
})
