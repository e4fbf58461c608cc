/** How far a run is: one line that is written over on a terminal, plain lines elsewhere. */
import { Effect, Option, Schedule } from "effect"
import { Output } from "../layers/process/Output.ts"

const barWidth = 24

const percent = (share: number): string => `${Math.floor(Math.min(1, share) * 100)} %  `

/** A bar, and the share in percent beside it. */
export const bar = (share: number): string => {
  const filled = Math.round(Math.min(1, share) * barWidth)
  return `[${"#".repeat(filled)}${".".repeat(barWidth - filled)}] ${percent(share)}`
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
  /** How much of all there will be is done: a bar on a terminal, elsewhere a number. */
  readonly share?: (totals: A) => number
}

/** Writes over what was written before it, which may have taken several rows. */
const overwriting = (columns: number) => {
  let rows = 1
  return (line: string): string => {
    const up = rows > 1 ? `\u001b[${rows - 1}A` : ""
    rows = Math.max(1, Math.ceil(line.length / columns))
    return `\r${up}\u001b[J${line}`
  }
}

/** Shows totals until interrupted: five times a second on a terminal, every second elsewhere if they changed. */
export const liveLine = Effect.fnUntraced(function* <A>(
  current: Effect.Effect<A>,
  { done, lineOf, share }: LiveLineOptions<A>
) {
  const output = yield* Output
  const overwrite = Option.map(yield* output.columns, overwriting)
  const progress = Option.isSome(overwrite) ? bar : percent
  const line = (totals: A, rate: number) =>
    `${share === undefined ? "" : progress(share(totals))}${lineOf(totals, rate)}`
  const perSecond = rateMeter()
  let shown: string | undefined
  const show = Effect.flatMap(current, (totals) => {
    const rate = perSecond(done(totals))
    const unrated = line(totals, 0)
    const isNew = shown !== undefined && unrated !== shown
    shown = unrated
    if (Option.isSome(overwrite)) return output.print(overwrite.value(line(totals, rate)))
    return isNew ? output.print(`${line(totals, rate)}\n`) : Effect.void
  })
  const finish = Option.isSome(overwrite) ? output.print("\n") : Effect.void
  yield* show.pipe(
    Effect.repeat(Schedule.spaced(Option.isSome(overwrite) ? "200 millis" : "1 second")),
    Effect.ensuring(Effect.andThen(show, finish))
  )
})
