/** The figures as JSON, and as tables for people. */
import { titleOf } from "../Contestant.ts"
import { machine } from "../machine.ts"
import { median, quantile } from "../statistics.ts"
import { figure, number, table } from "../table.ts"
import type { Figures } from "./measure.ts"
import type { Testbed } from "./Testbed.ts"

/** What was measured, on what, and the figures of each contestant. */
export const report = ({ title }: Testbed, rounds: number, all: ReadonlyArray<Figures>) => ({
  measuredAt: new Date().toISOString(),
  machine,
  services: title,
  rounds,
  contestants: all.map((own) => ({
    title: titleOf(own.contestant),
    ...own,
    eventsPerSecond: median(own.drains),
    ratioToBare: median(own.drains) / median(bareOf(own, all)?.drains ?? []),
    hotPerSecond: median(own.hot),
    p50: quantile(own.latencies, 0.5),
    p99: quantile(own.latencies, 0.99),
    fewPerSecond: median(own.few),
    manyPerSecond: median(own.many),
    besideOpenPerSecond: median(own.besideOpen)
  }))
})

type Report = ReturnType<typeof report>

const bareOf = ({ contestant }: Figures, all: ReadonlyArray<Figures>) =>
  all.find((other) => other.contestant.name === "bare" && other.contestant.runtime === contestant.runtime)

type Row = Report["contestants"][number]

/** A table of those for which a part was measured; nothing where it was not. */
const part = (
  contestants: ReadonlyArray<Row>,
  header: ReadonlyArray<string>,
  isMeasured: (own: Row) => boolean,
  cells: (own: Row) => ReadonlyArray<string>
): ReadonlyArray<string> => {
  const rows = contestants.filter(isMeasured).map((own) => [own.title, ...cells(own)])
  return rows.length === 0 ? [] : [table(header, rows)]
}

/** Lines of text. */
export const print = ({ contestants: all, machine, measuredAt, rounds, services }: Report): string =>
  [
    `${measuredAt}, ${machine}, ${services}, rounds: ${rounds}`,
    ...part(
      all,
      ["drain (medians)", "events/s", "of bare", "one hot key/s"],
      ({ drains, hot }) => drains.length + hot.length > 0,
      (own) => [figure(own.eventsPerSecond), figure(own.ratioToBare, 2), figure(own.hotPerSecond)]
    ),
    ...part(
      all,
      ["commit to mark at 200/s", "events", "p50 ms", "p99 ms"],
      ({ latencies }) => latencies.length > 0,
      (own) => [number(own.latencies.length), figure(own.p50, 2), figure(own.p99, 2)]
    ),
    ...part(
      all,
      ["events/s with many pending", "few", "many", "ratio"],
      ({ many }) => many.length > 0,
      (own) => [figure(own.fewPerSecond), figure(own.manyPerSecond), figure(own.manyPerSecond / own.fewPerSecond, 2)]
    ),
    ...part(
      all,
      ["beside a transaction left open", "events/s"],
      ({ besideOpen }) => besideOpen.length > 0,
      (own) => [figure(own.besideOpenPerSecond)]
    )
  ].join("\n\n")
