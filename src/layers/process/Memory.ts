/**
 * Imported first, for its effect: on Node, keeps the young generation small. Short-lived buffers fill it otherwise until
 * it has its full size, and the process half as much memory again, for no speed (measured on a million messages).
 */
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

// Only V8 knows the flag, and it can be set while running.
if (process.versions.bun === undefined) setFlagsFromString("--semi-space-growth-factor=1")

/**
 * Makes it so many times as big as its 2 MB, once: for a process that has hundreds of objects in hand at a time, and is to
 * stay small (measured on the operator: small it took a third of the processor's time, let grow at will 100 MB; on the
 * payment worker 16 MB take a twelfth less of it than 4 do, let grow at will it took 100 MB).
 */
export const enlargeYoungGeneration = (times: number): void => {
  if (process.versions.bun !== undefined) return
  const before = youngGenerationBytes()
  setFlagsFromString(`--semi-space-growth-factor=${times}`)
  // it grows when enough has outlived a collection
  const kept: Array<Array<number>> = []
  while (youngGenerationBytes() <= before && kept.length < mostKept)
    for (let count = 0; count < 200; count += 1) kept.push(new Array<number>(64).fill(0))
  setFlagsFromString("--semi-space-growth-factor=1")
}

/**
 * Collects garbage when there is much of it, for a process that is to stay small and asks now and then; what its start has
 * left behind, at once. Left alone, a runtime lets lie about as much as is in use, and Node as much again in buffers
 * (measured on a thousand PaymentJobs: Node 232 MB instead of 151, Bun 153 instead of 140).
 */
export const garbageCollector = (): (() => void) => {
  const { collect, collectAll } = bun === undefined ? collectorOfV8() : collectorOf(bun)
  collectAll()
  let inUse = oldBytes()
  return () => {
    if (oldBytes() - inUse < Math.max(leastGarbage, inUse * shareOfGarbage)) return
    collect()
    inUse = oldBytes()
  }
}

/** Less is not worth a collection, which takes as long as what is in use is big. */
const leastGarbage = 12 * 2 ** 20
const shareOfGarbage = 0.25

interface BunGlobal {
  readonly gc: (wait: boolean) => void
}

const bun = (globalThis as { readonly Bun?: BunGlobal }).Bun

const collectorOf = ({ gc }: BunGlobal) => {
  const collect = () => gc(true)
  return { collect, collectAll: collect }
}

const collectorOfV8 = () => {
  setFlagsFromString("--expose-gc")
  const collect: (options?: { readonly type: "major"; readonly flavor: "last-resort" }) => void = runInNewContext("gc")
  return {
    collect: () => collect(),
    // gives back what has holes too, and what the young generation has grown to; takes several times as long
    collectAll: () => collect({ type: "major", flavor: "last-resort" })
  }
}

/** What has outlived the young generation, garbage or not, and Node's buffers. */
const oldBytes = (): number => {
  const { external, heapUsed } = process.memoryUsage()
  return bun === undefined ? external + heapUsed - (youngGeneration()?.space_used_size ?? 0) : heapUsed
}

/** Some twenty times what it takes. */
const mostKept = 40_000

const youngGeneration = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")

const youngGenerationBytes = (): number => youngGeneration()?.space_size ?? 0

/**
 * Lets it grow again, for a process that has many messages in hand at a time: they outlive many collections of a young
 * generation that is small, each of which copies them (measured on topic workers and the outbox: a third of the
 * processor's time; on thousands of jobs that are due at once: 45 %). Called when everything is loaded: what was compiled
 * at an earlier start (`CompileCache`) is not believed under another flag.
 */
export const letYoungGenerationGrow = (): void => {
  if (process.versions.bun === undefined) setFlagsFromString("--semi-space-growth-factor=2")
}
