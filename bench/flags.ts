/** Flags that several benchmarks take. */
import { Flag } from "effect/cli"
import type { Runtime } from "../test/support/servers/Program.ts"

/** A list with commas between; all unless told. */
export const list = <const A extends string>(name: string, all: ReadonlyArray<A>) =>
  Flag.String(name).pipe(
    Flag.mapTryCatch((text) => text.split(",").map((word) => oneOf(all, word)), String),
    Flag.withDefault(all)
  )

const oneOf = <A extends string>(all: ReadonlyArray<A>, word: string): A => {
  const found = all.find((one) => one === word)
  if (found === undefined) throw new Error(`"${word}" is none of ${all.join(", ")}`)
  return found
}

/** A whole number, not below `minimum`. */
export const atLeast = (minimum: number, name: string, otherwise: number) =>
  Flag.Int(name).pipe(
    Flag.filter(
      (value) => value >= minimum,
      () => `--${name} takes a number from ${minimum} on`
    ),
    Flag.withDefault(otherwise)
  )

/** Turns of every contestant; an odd number has one in the middle. */
export const rounds = atLeast(1, "rounds", 3).pipe(Flag.withDescription("Times that every contestant has its turn"))

/** The runtimes to measure on. */
export const runtimes = Flag.Literals("runtime", ["bun", "node", "both"]).pipe(
  Flag.withDefault("both"),
  Flag.map((runtime): ReadonlyArray<Runtime> => (runtime === "both" ? ["bun", "node"] : [runtime]))
)

/** For machines. */
export const json = Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
