/** The product on a machine whose clock is wrong, by so many milliseconds as `CLOCK_SKEW_MILLIS` says. */
const skew = Number(process.env.CLOCK_SKEW_MILLIS)
const right = Date.now.bind(Date)

class SkewedDate extends Date {
  constructor(...given: ReadonlyArray<string | number>) {
    super(...((given.length === 0 ? [right() + skew] : given) as [number]))
  }
  static override now(): number {
    return right() + skew
  }
}

globalThis.Date = SkewedDate as DateConstructor

// loaded only now: whoever keeps the clock keeps this one
await import("../../../src/main.ts")
