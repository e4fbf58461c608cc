/** The figures as JSON, and as a table for people. */
import { compared, type Figures } from "../beside.ts"
import { machine } from "../machine.ts"
import { figure, number, table } from "../table.ts"
import type { Services } from "../worker/Services.ts"
import type { Plan, Turn } from "./measure.ts"

/** What was measured, on what, and the figures of each contestant at each delay. */
export const report = (
  { versions }: Services,
  { delay, payments, rounds }: Plan,
  all: ReadonlyArray<Figures<Turn>>
) => ({
  measuredAt: new Date().toISOString(),
  machine,
  versions,
  payments,
  rounds,
  contestants: delay.flatMap((millis, place) =>
    all.map((own) => {
      const { rate, ...rest } = compared(own, all, (turn) => turn[place] ?? Number.NaN)
      return { ...rest, delayMillis: millis, paymentsPerSecond: rate, turns: own.turns.map((turn) => turn[place]) }
    })
  )
})

/** For people. */
export const print = ({
  contestants,
  machine,
  measuredAt,
  payments,
  rounds,
  versions
}: ReturnType<typeof report>): string => {
  const rows = contestants.map(({ delayMillis, paymentsPerSecond, ratioToBare, title }) => [
    title,
    number(delayMillis),
    number(payments),
    number(paymentsPerSecond),
    figure(ratioToBare, 2)
  ])
  const header = ["commands to succeeded (medians)", "sandbox ms", "payments", "payments/s", "of bare"]
  const where = `RabbitMQ ${versions.rabbitMq}, PostgreSQL ${versions.postgres}`
  return `${measuredAt}, ${machine}, ${where}, rounds: ${rounds}\n\n${table(header, rows)}`
}
