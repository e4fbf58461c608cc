/** The figures as JSON, and as tables for people. */

import { titleOf } from "../Contestant.ts"
import { machine } from "../machine.ts"
import { median, quantile } from "../statistics.ts"
import type { Name } from "./Contestant.ts"
import type { Figures, Floors, Plan } from "./measure.ts"
import type { Services } from "./Services.ts"

/** What was measured, on what, and the figures of each contestant. */
export const report = (
  services: Services,
  plan: Plan,
  measured: { figures: ReadonlyArray<Figures>; floors: Floors }
) => ({
  measuredAt: new Date().toISOString(),
  machine,
  versions: services.versions,
  messages: plan.messages,
  rounds: plan.rounds,
  floors: { confirm: spread(measured.floors.confirms), commit: spread(measured.floors.commits) },
  contestants: measured.figures.map((own) => ({
    title: titleOf(own.contestant),
    ...own.contestant,
    drain: drainOf(own, measured.figures),
    latencyMillis: spread(own.latencies),
    startMillis: spread(own.starts)
  }))
})

export type Report = ReturnType<typeof report>

/** Undefined where nothing was measured. */
const spread = (values: ReadonlyArray<number>) =>
  values.length === 0 ? undefined : { count: values.length, p50: quantile(values, 0.5), p99: quantile(values, 0.99) }

export type Spread = NonNullable<ReturnType<typeof spread>>

const drainOf = (own: Figures, all: ReadonlyArray<Figures>) => {
  const { drains: rounds } = own
  if (rounds[0] === undefined) return undefined
  const rate = rateOf(own)
  return {
    messages: rounds[0].messages,
    messagesPerSecond: rate,
    ratioToBare: rate / rateOf(reference("bare", own, all)),
    ratioToOneAtATime: rate / rateOf(reference("one-at-a-time", own, all)),
    seconds: median(rounds.map(({ seconds }) => seconds)),
    peakMegabytes: Math.max(...rounds.map(({ peakMegabytes }) => peakMegabytes)),
    rounds
  }
}

const rateOf = (figures: Figures | undefined) => median((figures?.drains ?? []).map((drain) => drain.messagesPerSecond))

/** The reference on the same runtime. */
const reference = (name: Name, { contestant }: Figures, all: ReadonlyArray<Figures>) =>
  all.find((other) => other.contestant.name === name && other.contestant.runtime === contestant.runtime)
