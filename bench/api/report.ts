/** The figures as JSON, and as a table for people. */
import { compared, type Figures } from "../beside.ts"
import { machine } from "../machine.ts"
import { quantile } from "../statistics.ts"
import { figure, number, table } from "../table.ts"
import type { Services } from "../worker/Services.ts"
import type { Plan, Turn } from "./measure.ts"

/** What was measured, on what, and the figures of each contestant. */
export const report = (
  { versions }: Services,
  { connections, rounds, seconds }: Plan,
  all: ReadonlyArray<Figures<Turn>>
) => ({
  measuredAt: new Date().toISOString(),
  machine,
  versions,
  connections,
  rounds,
  seconds,
  contestants: all.map((own) => {
    const latencies = own.turns.flatMap((turn) => turn.latencies)
    const { rate, ...rest } = compared(own, all, ({ requestsPerSecond }) => requestsPerSecond)
    return {
      ...rest,
      requestsPerSecond: rate,
      p50Millis: quantile(latencies, 0.5),
      p99Millis: quantile(latencies, 0.99),
      rates: own.turns.map(({ requestsPerSecond }) => requestsPerSecond)
    }
  })
})

/** For people. */
export const print = ({
  connections,
  contestants,
  machine,
  measuredAt,
  rounds,
  versions
}: ReturnType<typeof report>) => {
  const rows = contestants.map(({ p50Millis, p99Millis, ratioToBare, requestsPerSecond, title }) => [
    title,
    number(requestsPerSecond),
    figure(ratioToBare, 2),
    number(p50Millis, 1),
    number(p99Millis, 1)
  ])
  const header = [
    `accepted and confirmed, ${connections} connections (medians)`,
    "requests/s",
    "of bare",
    "p50 ms",
    "p99 ms"
  ]
  return `${measuredAt}, ${machine}, RabbitMQ ${versions.rabbitMq}, rounds: ${rounds}\n\n${table(header, rows)}`
}
