/** How far a run is: one line that is written over on a terminal, plain lines elsewhere. */
import { Effect, Option, Schedule } from "effect"
import type { BatchReport } from "../streams/PaymentWorker.ts"

const barWidth = 24

const bar = (share: number): string => {
  const filled = Math.round(Math.min(1, share) * barWidth)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}] ${Math.floor(Math.min(1, share) * 100)} %  `
}

/** One line about the totals; `count` is how many there will be, if that is known. */
export const lineOf = (totals: BatchReport, perSecond: number, count: Option.Option<number>): string => {
  const { deadLettered, duplicates, stored } = totals
  const received = stored + duplicates + deadLettered
  const progress = Option.match(count, { onNone: () => "", onSome: (all) => bar(received / all) })
  return `${progress}${received} received, ${stored} stored, ${duplicates} duplicates, ${deadLettered} dead-lettered, ${perSecond}/s`
}

/** Shows the totals until interrupted: five times a second on a terminal, every second elsewhere if they changed. */
export const liveLine = (current: Effect.Effect<BatchReport>, count: Option.Option<number>) => {
  const terminal = process.stdout.isTTY === true
  const intervalMillis = terminal ? 200 : 1000
  let last = 0
  let shown = ""
  const show = Effect.map(current, (totals) => {
    const received = totals.stored + totals.duplicates + totals.deadLettered
    const line = lineOf(totals, Math.round(((received - last) * 1000) / intervalMillis), count)
    last = received
    if (terminal) process.stdout.write(`\r\u001b[K${line}`)
    else if (line !== shown && received > 0) process.stdout.write(`${line}\n`)
    shown = line
  })
  return show.pipe(
    Effect.repeat(Schedule.spaced(intervalMillis)),
    Effect.ensuring(
      Effect.andThen(
        show,
        Effect.sync(() => {
          if (terminal) process.stdout.write("\n")
        })
      )
    )
  )
}
