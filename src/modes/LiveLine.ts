/** How far a run is: one line that is written over on a terminal, plain lines elsewhere. */
import { Effect, Schedule } from "effect"
import { Output } from "../layers/process/Output.ts"

const barWidth = 24

/** A bar, and the share in percent beside it. */
export const bar = (share: number): string => {
  const filled = Math.round(Math.min(1, share) * barWidth)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}] ${Math.floor(Math.min(1, share) * 100)} %  `
}

/** The rate over the last two seconds. */
const rateMeter = () => {
  const samples: Array<{ readonly atMillis: number; readonly done: number }> = []
  return (done: number): number => {
    const atMillis = performance.now()
    samples.push({ atMillis, done })
    while (samples.length > 2 && atMillis - (samples[0]?.atMillis ?? 0) > 2000) samples.shift()
    const { atMillis: since = atMillis, done: before = done } = samples[0] ?? {}
    return atMillis === since ? 0 : Math.round(((done - before) * 1000) / (atMillis - since))
  }
}

/** What is shown of totals. */
export interface LiveLineOptions<A> {
  /** What the rate is of. */
  readonly done: (totals: A) => number
  readonly lineOf: (totals: A, perSecond: number) => string
}

/** Shows totals until interrupted: five times a second on a terminal, every second elsewhere if they changed. */
export const liveLine = <A>(current: Effect.Effect<A>, { done, lineOf }: LiveLineOptions<A>) => {
  const terminal = process.stdout.isTTY === true
  const perSecond = rateMeter()
  let shown: string | undefined
  const print = (text: string) => Effect.flatMap(Output, (output) => output.print(text))
  const show = Effect.flatMap(current, (totals) => {
    const rate = perSecond(done(totals))
    const unrated = lineOf(totals, 0)
    const isNew = shown !== undefined && unrated !== shown
    shown = unrated
    if (terminal) return print(`\r\u001b[K${lineOf(totals, rate)}`)
    return isNew ? print(`${lineOf(totals, rate)}\n`) : Effect.void
  })
  const finish = terminal ? print("\n") : Effect.void
  return show.pipe(
    Effect.repeat(Schedule.spaced(terminal ? "200 millis" : "1 second")),
    Effect.ensuring(Effect.andThen(show, finish))
  )
}
