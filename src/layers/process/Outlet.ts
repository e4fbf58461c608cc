/**
 * What is printed, on its way to whoever reads it: in pieces, so that it can be seen whether a slow reader reads at all.
 */
import { Writable } from "node:stream"
import { Effect, Schedule } from "effect"

/** Less than a pipe holds: a reader who reads anything takes one. */
const pieceBytes = 16 * 1024

/**
 * Each write into a pipe costs as much as a request: what follows within this time goes together. Who is killed takes it
 * along; who ends by himself waits for it.
 */
const togetherMillis = 10

export interface Outlet {
  /** Takes all that is written, at once; nothing of it fails, not even when nobody reads any more. */
  readonly stream: Writable
  /** Waits until all that was printed is read, or its reader is gone. */
  readonly flushed: Effect.Effect<void>
  /** Ends when nothing was read for so long. */
  readonly silence: (patience: `${number} seconds`) => Effect.Effect<void>
}

/** In front of one of the process's outputs; `onGone` is told once that its reader is gone, and the rest is lost. */
export const make = (target: Writable & { readonly isTTY?: boolean }, onGone: () => void): Outlet => {
  let taken = 0
  let isGone = false
  const pause = makePause()
  const lose = () => {
    if (!isGone) onGone()
    isGone = true
  }
  target.on("error", lose)

  const write = (bytes: Uint8Array, from: number, done: () => void): void => {
    const to = from + pieceBytes
    target.write(bytes.subarray(from, to), (error) => {
      taken++
      if (error) lose()
      if (isGone || to >= bytes.length) done()
      else write(bytes, to, done)
    })
  }
  const take = (bytes: Uint8Array, done: () => void): void => {
    if (isGone) done()
    else write(bytes, 0, target.isTTY === true || bytes.length > pieceBytes ? done : () => pause.before(done))
  }
  const stream = new Writable({
    write: (bytes, _encoding, done) => take(bytes, done),
    // what came while a piece was on its way goes together
    writev: (all, done) => take(Buffer.concat(all.map(({ chunk }) => chunk)), done)
  })

  return {
    stream,
    flushed: Effect.callback((resume) => {
      pause.end()
      stream.write("", () => resume(Effect.void))
    }),
    silence: (patience) => {
      let before: number | undefined
      const look = Effect.sync(() => {
        const isSilent = before === taken
        before = taken
        return isSilent
      })
      return look.pipe(
        Effect.repeat({ until: (isSilent) => isSilent, schedule: Schedule.spaced(patience) }),
        Effect.asVoid
      )
    }
  }
}

/** A short time after each of the things that follow one another, until there is no more time. */
const makePause = () => {
  let hasTime = true
  let goOn = () => {}
  return {
    before: (next: () => void): void => {
      const timer = setTimeout(() => goOn(), togetherMillis)
      goOn = () => {
        clearTimeout(timer)
        goOn = () => {}
        next()
      }
      if (!hasTime) goOn()
    },
    end: (): void => {
      hasTime = false
      goOn()
    }
  }
}
