/** The figures as JSON, and as a table for people. */

import { titleOf } from "../Contestant.ts"
import { machine } from "../machine.ts"
import { median } from "../statistics.ts"
import { number, table } from "../table.ts"
import type { Figures, Plan } from "./measure.ts"
import type { Testbed } from "./Testbed.ts"

/** What was measured, on what, and the figures of each contestant. */
export const report = ({ title }: Testbed, { messages, rounds }: Plan, all: ReadonlyArray<Figures>) => ({
  measuredAt: new Date().toISOString(),
  machine,
  broker: title,
  messages,
  rounds,
  contestants: all.map((own) => ({
    title: titleOf(own.contestant),
    ...own.contestant,
    messagesPerSecond: rateOf(own),
    ratioToBare: rateOf(own) / rateOf(bareOf(own, all)),
    processorMicros: median(own.passes.map(({ processorMicros }) => processorMicros)),
    passes: own.passes
  }))
})

const rateOf = (figures: Figures | undefined) =>
  median((figures?.passes ?? []).map(({ messagesPerSecond }) => messagesPerSecond))

/** The reference on the same runtime. */
const bareOf = ({ contestant }: Figures, all: ReadonlyArray<Figures>) =>
  all.find((other) => other.contestant.name === "bare" && other.contestant.runtime === contestant.runtime)

/** For people. */
export const print = ({ broker, contestants, machine, measuredAt, messages, rounds }: ReturnType<typeof report>) => {
  const rows = contestants.map(({ messagesPerSecond, processorMicros, ratioToBare, title }) => [
    title,
    number(messages),
    number(messagesPerSecond),
    Number.isFinite(ratioToBare) ? number(ratioToBare, 2) : "-",
    number(processorMicros)
  ])
  const header = ["topic to topic (medians)", "messages", "messages/s", "of bare", "processor µs each"]
  return `${measuredAt}, ${machine}, ${broker}, rounds: ${rounds}\n\n${table(header, rows)}`
}
