/** The product beside a bare reference on the same runtime: what benchmarks of such a pair have in common. */
import { Console, Effect } from "effect"
import { Flag } from "effect/cli"
import type { Runtime } from "../test/support/servers/Program.ts"
import { type AnyContestant, type Contestant, titleOf } from "./Contestant.ts"
import { json, list, rounds, runtimes } from "./flags.ts"
import { median } from "./statistics.ts"

const names = ["product", "bare"] as const
export type Name = (typeof names)[number]

/** Who has its turn, and how often. */
export interface Rounds<One extends AnyContestant = Contestant<Name>> {
  readonly contestants: ReadonlyArray<One>
  readonly rounds: number
}

/** All turns of one contestant. */
export interface Figures<Turn, One extends AnyContestant = Contestant<Name>> {
  readonly contestant: One
  readonly turns: Array<Turn>
}

/** Flags of all of them. */
export const flags = {
  rounds,
  runtimes,
  only: list("only", names).pipe(Flag.withDescription(`Contestants: ${names.join(",")}`)),
  json
}

interface Chosen {
  readonly runtimes: ReadonlyArray<Runtime>
  readonly only: ReadonlyArray<Name>
}

/** The plan that flags ask for: each contestant on each runtime. */
export const planOf = <Given extends Chosen>({ only, runtimes, ...rest }: Given) => ({
  ...rest,
  contestants: runtimes.flatMap((runtime) => only.map((name): Contestant<Name> => ({ name, runtime })))
})

/** Round by round, every contestant in turn, so that what changes on the machine changes for all. */
export const inTurn = Effect.fnUntraced(function* <Turn, E, R, One extends AnyContestant>(
  plan: Rounds<One>,
  take: (contestant: One) => Effect.Effect<Turn, E, R>,
  say: (turn: Turn) => string
) {
  const all = plan.contestants.map((contestant): Figures<Turn, One> => ({ contestant, turns: [] }))
  for (let round = 1; round <= plan.rounds; round++) {
    for (const { contestant, turns } of all) {
      const turn = yield* take(contestant)
      turns.push(turn)
      yield* Console.error(`bench: round ${round} of ${plan.rounds}, ${titleOf(contestant)}: ${say(turn)}`)
    }
  }
  return all
})

/** Who it is, its median rate, and how that compares to the reference's on the same runtime; NaN without one. */
export const compared = <Turn>(
  own: Figures<Turn>,
  all: ReadonlyArray<Figures<Turn>>,
  rateOf: (turn: Turn) => number
) => {
  const rate = (figures: Figures<Turn> | undefined) => median((figures?.turns ?? []).map(rateOf))
  const isReference = ({ contestant: { name, runtime } }: Figures<Turn>) =>
    name === "bare" && runtime === own.contestant.runtime
  return {
    title: titleOf(own.contestant),
    ...own.contestant,
    rate: rate(own),
    ratioToBare: rate(own) / rate(all.find(isReference))
  }
}
