/** How far a run is: one line that is written over on a terminal, plain lines elsewhere. */
import { Effect, Option, Schedule } from "effect"
import { type BatchReport, settled } from "../domain/BatchReport.ts"

const barWidth = 24

const bar = (share: number): string => {
  const filled = Math.round(Math.min(1, share) * barWidth)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}] ${Math.floor(Math.min(1, share) * 100)} %  `
}

/** One line about the totals; `count` is how many there will be, if that is known. */
export const lineOf = (totals: BatchReport, perSecond: number, count: Option.Option<number>): string => {
  const { deadLettered, duplicates, stored } = totals
  const received = settled(totals)
  const progress = Option.match(count, { onNone: () => "", onSome: (all) => bar(received / all) })
  return `${progress}${received} received, ${stored} stored, ${duplicates} duplicates, ${deadLettered} dead-lettered, ${perSecond}/s`
}

/** The rate over the last two seconds. */
const rateMeter = () => {
  const samples: Array<{ readonly atMillis: number; readonly received: number }> = []
  return (received: number): number => {
    const atMillis = performance.now()
    samples.push({ atMillis, received })
    while (samples.length > 2 && atMillis - (samples[0]?.atMillis ?? 0) > 2000) samples.shift()
    const { atMillis: since = atMillis, received: before = received } = samples[0] ?? {}
    return atMillis === since ? 0 : Math.round(((received - before) * 1000) / (atMillis - since))
  }
}

/** Shows the totals until interrupted: five times a second on a terminal, every second elsewhere if they changed. */
export const liveLine = (current: Effect.Effect<BatchReport>, count: Option.Option<number>) => {
  const terminal = process.stdout.isTTY === true
  const perSecond = rateMeter()
  let shown = 0
  const show = Effect.map(current, (totals) => {
    const received = settled(totals)
    const line = lineOf(totals, perSecond(received), count)
    if (terminal) process.stdout.write(`\r\u001b[K${line}`)
    else if (received !== shown) process.stdout.write(`${line}\n`)
    shown = received
  })
  const finish = Effect.sync(() => {
    if (terminal) process.stdout.write("\n")
  })
  return show.pipe(
    Effect.repeat(Schedule.spaced(terminal ? "200 millis" : "1 second")),
    Effect.ensuring(Effect.andThen(show, finish))
  )
}
