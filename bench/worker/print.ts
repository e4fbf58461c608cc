import { figure, number, table } from "../table.ts"
import type { Part } from "./measure.ts"
import type { Report, Spread } from "./report.ts"

/** The report for people: a table for each part that was measured. */
export const print = (report: Report, parts: ReadonlyArray<Part>): string =>
  [heading(report), ...parts.map((part) => tables[part](report))].join("\n\n")

const heading = ({ machine, measuredAt, rounds, versions }: Report): string =>
  `${measuredAt}, ${machine}, RabbitMQ ${versions.rabbitMq}, PostgreSQL ${versions.postgres}, rounds: ${rounds}`

/** A line, unless there is nothing to say. */
const spreadLine = (title: string, spread: Spread | undefined): ReadonlyArray<ReadonlyArray<string>> =>
  spread === undefined ? [] : [[title, number(spread.count), number(spread.p50, 2), number(spread.p99, 2)]]

const drainHeader = ["drain (medians)", "messages", "messages/s", "of bare", "of one at a time", "s in all", "peak MB"]

const drainLine = ({ drain, title }: Report["contestants"][number]): ReadonlyArray<ReadonlyArray<string>> => {
  if (drain === undefined) return []
  const ratios = [figure(drain.ratioToBare, 2), figure(drain.ratioToOneAtATime, 1)]
  const rate = [number(drain.messages), number(drain.messagesPerSecond)]
  return [[title, ...rate, ...ratios, number(drain.seconds, 2), number(drain.peakMegabytes)]]
}

const tables: Record<Part, (report: Report) => string> = {
  drain: ({ contestants }) => table(drainHeader, contestants.flatMap(drainLine)),
  latency: ({ contestants, floors }) =>
    table(
      ["one message alone, published to stored", "messages", "p50 ms", "p99 ms"],
      [
        ...contestants.flatMap((row) => spreadLine(row.title, row.latencyMillis)),
        ...spreadLine("a confirm alone", floors.confirm),
        ...spreadLine("an insert and commit alone", floors.commit)
      ]
    ),
  start: ({ contestants }) =>
    table(
      ["start of the process to first stored message", "starts", "p50 ms", "p99 ms"],
      contestants.flatMap((row) => spreadLine(row.title, row.startMillis))
    )
}
