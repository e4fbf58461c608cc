/**
 * What the clocks of a time zone show, as if it were UTC, and the instants at which they show it first. A time that they
 * skip is taken for the first instant after the skip; of a time that they show twice, the first is meant.
 */
import { DateTime, Option } from "effect"

/** A time zone by its name. */
export interface WallClock {
  readonly name: string
  /** How far its clocks are ahead of UTC at an instant, in milliseconds. */
  readonly offsetAt: (instant: number) => number
}

const day = 86_400_000

/** Days whose offsets are remembered: asking for one costs as much as all the rest. */
const mostDays = 2000

/** The offsets of a zone, asked for once a day where they do not change in it. */
const offsetsOf = (zone: DateTime.TimeZone): WallClock["offsetAt"] => {
  const ask = (instant: number) => DateTime.zonedOffset(DateTime.makeZonedUnsafe(instant, { timeZone: zone }))
  const known = new Map<number, number>()
  const atStartOf = (date: number): number => {
    const offset = known.get(date) ?? ask(date * day)
    if (known.size >= mostDays) known.clear()
    known.set(date, offset)
    return offset
  }
  return (instant) => {
    const date = Math.floor(instant / day)
    const offset = atStartOf(date)
    return atStartOf(date + 1) === offset ? offset : ask(instant)
  }
}

const clocks = new Map<string, WallClock>()

/** The clocks of a zone of the IANA database, or `undefined` if there is none of that name. */
export const wallClock = (name: string): WallClock | undefined => {
  const found = clocks.get(name)
  const zone = found === undefined ? Option.getOrUndefined(DateTime.zoneMakeNamed(name)) : undefined
  if (zone === undefined) return found
  const clock = { name, offsetAt: name === "UTC" ? () => 0 : offsetsOf(zone) }
  clocks.set(name, clock)
  return clock
}

/** The first millisecond in `(from, to]` at which the offset is no longer that of `from`; it changes once in between. */
const changeBetween = ({ offsetAt }: WallClock, from: number, to: number): number => {
  const before = offsetAt(from)
  let [low, high] = [from, to]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offsetAt(middle) === before) low = middle
    else high = middle
  }
  return high
}

/** The instant at which the clocks first show a time, or the end of the skip that it is in. Never goes back. */
export const instantOf = (clock: WallClock, wall: number): number => {
  const before = clock.offsetAt(wall - day)
  const after = clock.offsetAt(wall + day)
  if (clock.offsetAt(wall - before) === before) return wall - before
  if (clock.offsetAt(wall - after) === after) return wall - after
  return changeBetween(clock, wall - after, wall - before)
}

/** The last time that the clocks have shown up to an instant: while they show times again, the end of what is repeated. */
export const wallAt = (clock: WallClock, instant: number): number => {
  const offset = clock.offsetAt(instant)
  if (clock.offsetAt(instant - day) <= offset) return instant + offset
  const shownBefore = instantOf(clock, instant + offset)
  if (shownBefore >= instant) return instant + offset
  const changed = changeBetween(clock, shownBefore, instant)
  return changed - 1 + clock.offsetAt(changed - 1)
}
