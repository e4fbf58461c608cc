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

/** Lines of text. */
export const print = ({ contestants, machine, measuredAt, rounds, services }: Report): string =>
  [
    `${measuredAt}, ${machine}, ${services}, rounds: ${rounds}`,
    table(
      ["drain (medians)", "events/s", "of bare", "one hot key/s"],
      contestants.map((own) => [
        own.title,
        figure(own.eventsPerSecond),
        figure(own.ratioToBare, 2),
        figure(own.hotPerSecond)
      ])
    ),
    table(
      ["commit to mark at 200/s", "events", "p50 ms", "p99 ms"],
      contestants
        .filter(({ latencies }) => latencies.length > 0)
        .map((own) => [own.title, number(own.latencies.length), figure(own.p50, 2), figure(own.p99, 2)])
    ),
    table(
      ["events/s with many pending", "few", "many", "ratio"],
      contestants
        .filter(({ many }) => many.length > 0)
        .map((own) => [
          own.title,
          figure(own.fewPerSecond),
          figure(own.manyPerSecond),
          figure(own.manyPerSecond / own.fewPerSecond, 2)
        ])
    ),
    table(
      ["beside a transaction left open", "events/s"],
      contestants.filter((own) => own.besideOpen.length > 0).map((own) => [own.title, figure(own.besideOpenPerSecond)])
    )
  ].join("\n\n")
