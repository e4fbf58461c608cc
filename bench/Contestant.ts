/** What is measured: whole processes that take the same settings and do the same work. */
import { Effect } from "effect"
import type { Child } from "../test/support/servers/Child.ts"
import type { Runtime } from "../test/support/servers/Program.ts"
import { check } from "./BenchmarkError.ts"

export interface Contestant<out Name extends string = string, out On extends string = Runtime> {
  readonly name: Name
  readonly runtime: On
}

/** Whatever it runs on. */
export type AnyContestant = Contestant<string, string>

/** `product on bun`, for people. */
export const titleOf = ({ name, runtime }: AnyContestant): string => `${name} on ${runtime}`

/** Waits for its end, which must be a good one. */
export const ended = Effect.fnUntraced(function* (contestant: AnyContestant, child: Child) {
  const code = yield* child.exit
  const written = [...child.stdout, ...child.stderr].slice(-20).join("\n")
  yield* check(code === 0, `${titleOf(contestant)} ended with ${code}, having written:\n${written}`)
})
