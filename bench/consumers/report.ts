/** The figures as JSON, and as a table for people. */
import { compared, type Figures } from "../beside.ts"
import { machine } from "../machine.ts"
import { median } from "../statistics.ts"
import { figure, number, table } from "../table.ts"
import type { Pass, Plan } from "./measure.ts"
import type { Testbed } from "./Testbed.ts"

/** What was measured, on what, and the figures of each contestant. */
export const report = ({ title }: Testbed, { messages, rounds }: Plan, all: ReadonlyArray<Figures<Pass>>) => ({
  measuredAt: new Date().toISOString(),
  machine,
  broker: title,
  messages,
  rounds,
  contestants: all.map((own) => {
    const { rate, ...rest } = compared(own, all, ({ messagesPerSecond }) => messagesPerSecond)
    return {
      ...rest,
      messagesPerSecond: rate,
      processorMicros: median(own.turns.map(({ processorMicros }) => processorMicros)),
      passes: own.turns
    }
  })
})

/** For people. */
export const print = ({ broker, contestants, machine, measuredAt, messages, rounds }: ReturnType<typeof report>) => {
  const rows = contestants.map(({ messagesPerSecond, processorMicros, ratioToBare, title }) => [
    title,
    number(messages),
    number(messagesPerSecond),
    figure(ratioToBare, 2),
    number(processorMicros)
  ])
  const header = ["topic to topic (medians)", "messages", "messages/s", "of bare", "processor µs each"]
  return `${measuredAt}, ${machine}, ${broker}, rounds: ${rounds}\n\n${table(header, rows)}`
}
