/** The rounds: in each, every contestant in turn, so that what changes on the machine changes for all. */
import { Console, Effect } from "effect"
import { titleOf } from "../Contestant.ts"
import { number } from "../table.ts"
import type { Contestant } from "./Contestant.ts"
import { type Drain, drain } from "./drain.ts"
import { floors, latency } from "./latency.ts"
import type { Services } from "./Services.ts"
import { start } from "./start.ts"

export const parts = ["drain", "latency", "start"] as const
export type Part = (typeof parts)[number]

export interface Plan {
  readonly contestants: ReadonlyArray<Contestant>
  readonly parts: ReadonlyArray<Part>
  readonly rounds: number
  readonly messages: number
  /** One at a time would take a minute for what the others do in seconds. */
  readonly messagesOneAtATime: number
  /** Single messages, of all rounds together. */
  readonly samples: number
}

/** All that was measured of one contestant, a figure for each round, or for each single message. */
export interface Figures {
  readonly contestant: Contestant
  readonly drains: Array<Drain>
  readonly latencies: Array<number>
  readonly starts: Array<number>
}

export interface Floors {
  readonly confirms: Array<number>
  readonly commits: Array<number>
}

const startsPerRound = 3

const progress = (line: string) => Console.error(`bench: ${line}`)

/** Every part of the plan, round by round. */
export const measure = Effect.fnUntraced(function* (services: Services, plan: Plan) {
  const figures = plan.contestants.map((contestant): Figures => ({ contestant, drains: [], latencies: [], starts: [] }))
  const lowest: Floors = { confirms: [], commits: [] }
  for (const part of plan.parts) {
    for (let round = 1; round <= plan.rounds; round++) {
      if (part === "latency") yield* measureFloors(services, plan, lowest)
      for (const one of figures.filter(({ contestant }) => part === "drain" || contestant.name !== "one-at-a-time")) {
        const said = yield* measurePart[part](services, plan, one)
        yield* progress(`${part}, round ${round} of ${plan.rounds}, ${titleOf(one.contestant)}: ${said}`)
      }
    }
  }
  return { figures, floors: lowest }
})

const measureFloors = Effect.fnUntraced(function* (services: Services, plan: Plan, into: Floors) {
  const { commits, confirms } = yield* floors(services, samplesPerRound(plan))
  into.commits.push(...commits)
  into.confirms.push(...confirms)
})

const samplesPerRound = ({ rounds, samples }: Plan): number => Math.ceil(samples / rounds)

/** Each adds to the figures, and says what it found. */
const measurePart = {
  drain: Effect.fnUntraced(function* (services: Services, plan: Plan, { contestant, drains }: Figures) {
    const messages = contestant.name === "one-at-a-time" ? plan.messagesOneAtATime : plan.messages
    const drained = yield* drain(services, contestant, messages)
    drains.push(drained)
    return `${number(drained.messagesPerSecond)} messages/s, ${number(drained.peakMegabytes)} MB`
  }),
  latency: Effect.fnUntraced(function* (services: Services, plan: Plan, { contestant, latencies }: Figures) {
    const measured = yield* latency(services, contestant, samplesPerRound(plan))
    latencies.push(...measured)
    return `${measured.length} messages, ${number(Math.max(...measured), 1)} ms at most`
  }),
  start: Effect.fnUntraced(function* (services: Services, _plan: Plan, { contestant, starts }: Figures) {
    for (let time = 1; time <= startsPerRound; time++) starts.push(yield* start(services, contestant))
    return `${number(starts.at(-1) ?? Number.NaN)} ms`
  })
}
