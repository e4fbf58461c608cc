/** How often processes are killed, and the seed that says when: printed, so that a failure can be had again. */
import { Effect, Random } from "effect"
import { runtimes } from "./Stage.ts"
import type { Runtime } from "./servers/Program.ts"

/** `CHAOS_ROUNDS`, 5 unless told. */
export const rounds = Number(process.env.CHAOS_ROUNDS ?? 5)

/** Half as many, where another test kills the same code as often, or each kill costs seconds of waiting. */
export const halfTheRounds = Math.ceil(rounds / 2)

const seed = process.env.CHAOS_SEED ?? String(Math.trunc(Math.random() * 1e9))

/** Says the seed, and draws by it. */
export const seeded = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    console.log(`CHAOS_SEED=${seed}`)
    return Random.withSeed(effect, seed)
  })

/** The runtimes take turns. */
export const runtimeOf = (round: number): Runtime => runtimes[round % runtimes.length] ?? "bun"
