/** The figures as JSON, and as tables for people. */
import { version as kubernetes } from "../../test/support/servers/KubernetesPrograms.ts"
import type { Figures } from "../beside.ts"
import { titleOf } from "../Contestant.ts"
import { machine } from "../machine.ts"
import { median, quantile } from "../statistics.ts"
import { figure, number, table } from "../table.ts"
import type { Contestant } from "./Contestant.ts"
import { version as kopf } from "./kopf.ts"
import type { Plan, Turn } from "./measure.ts"

type All = ReadonlyArray<Figures<Turn, Contestant>>

/** What was measured, on what, and the figures of each contestant. */
export const report = ({ alone, paymentJobs, rounds }: Plan, all: All) => {
  const reference = all.find(({ contestant }) => contestant.name === "kopf")
  return {
    measuredAt: new Date().toISOString(),
    machine,
    versions: { kubernetes, kopf },
    paymentJobs,
    alone,
    rounds,
    contestants: all.map((own) => ({
      title: titleOf(own.contestant),
      ...own.contestant,
      ...figuresOf(own),
      ...ratiosTo(reference, own)
    }))
  }
}

/** Medians of the turns; NaN of none. */
const over = ({ turns }: Figures<Turn, Contestant>, of: (turn: Turn) => number) => median(turns.map(of))

const spread = (millis: ReadonlyArray<number>) => ({ p50: quantile(millis, 0.5), p95: quantile(millis, 0.95) })

const figuresOf = (own: Figures<Turn, Contestant>) => ({
  jobsPerSecond: over(own, ({ crowd }) => crowd.jobsPerSecond),
  runningPerSecond: over(own, ({ crowd }) => crowd.runningPerSecond),
  toJobMillis: spread(own.turns.flatMap(({ crowd }) => crowd.toJob)),
  toRunningMillis: spread(own.turns.flatMap(({ crowd }) => crowd.toRunning)),
  processorSeconds: over(own, ({ crowd }) => crowd.processorSeconds),
  requestsUntilRunning: over(own, ({ crowd }) => crowd.requestsEach),
  requestsInLife: over(own, ({ life }) => life.requestsEach),
  lifeProcessorSeconds: over(own, ({ life }) => life.processorSeconds),
  peakMegabytes: over(own, ({ life }) => life.peakMegabytes),
  aloneToJobMillis: spread(own.turns.flatMap(({ alone }) => alone.toJob)),
  aloneToRunningMillis: spread(own.turns.flatMap(({ alone }) => alone.toRunning)),
  restartWrites: over(own, ({ restart }) => restart.writes),
  restartProcessorSeconds: over(own, ({ restart }) => restart.processorSeconds),
  restartPeakMegabytes: over(own, ({ restart }) => restart.peakMegabytes),
  requests: own.turns.map(({ life, restart }) => ({ life: life.requests, restart: restart.requests }))
})

const ratiosTo = (reference: Figures<Turn, Contestant> | undefined, own: Figures<Turn, Contestant>) => {
  const ratio = (of: (turn: Turn) => number) =>
    reference === undefined ? Number.NaN : over(own, of) / over(reference, of)
  return {
    rateOfKopf: ratio(({ crowd }) => crowd.jobsPerSecond),
    processorOfKopf: ratio(({ crowd }) => crowd.processorSeconds)
  }
}

type Report = ReturnType<typeof report>

/** For people. */
export const print = (measured: Report): string => {
  const { kopf, kubernetes } = measured.versions
  const heading = `${measured.measuredAt}, ${measured.machine}, Kubernetes ${kubernetes}, kopf ${kopf}, rounds: ${measured.rounds}`
  return [heading, crowd(measured), requests(measured), alone(measured), restart(measured)].join("\n\n")
}

const crowd = ({ contestants, paymentJobs }: Report): string =>
  table(
    [
      `${number(paymentJobs)} at once (medians)`,
      ...[
        "Jobs/s",
        "of kopf",
        "running/s",
        "to Job p50 ms",
        "p95 ms",
        "to Running p50 ms",
        "p95 ms",
        "CPU s",
        "of kopf"
      ]
    ],
    contestants.map((row) => [
      row.title,
      number(row.jobsPerSecond),
      figure(row.rateOfKopf, 2),
      number(row.runningPerSecond),
      ...[row.toJobMillis, row.toRunningMillis].flatMap(({ p50, p95 }) => [number(p50), number(p95)]),
      number(row.processorSeconds, 2),
      figure(row.processorOfKopf, 2)
    ])
  )

const requests = ({ contestants }: Report): string =>
  table(
    ["from start to all ended", "requests each until Running", "in a whole life", "CPU s", "peak MB"],
    contestants.map((row) => [
      row.title,
      number(row.requestsUntilRunning, 2),
      number(row.requestsInLife, 2),
      number(row.lifeProcessorSeconds, 2),
      number(row.peakMegabytes)
    ])
  )

const alone = ({ alone, contestants }: Report): string =>
  table(
    [`one at a time, ${number(alone)}`, "to Job p50 ms", "p95 ms", "to Running p50 ms", "p95 ms"],
    contestants.map((row) => [
      row.title,
      ...[row.aloneToJobMillis, row.aloneToRunningMillis].flatMap(({ p50, p95 }) => [number(p50, 1), number(p95, 1)])
    ])
  )

const restart = ({ contestants }: Report): string =>
  table(
    ["a restart with all ended", "writes but the Lease", "CPU s", "peak MB"],
    contestants.map((row) => [
      row.title,
      number(row.restartWrites),
      number(row.restartProcessorSeconds, 2),
      number(row.restartPeakMegabytes)
    ])
  )
