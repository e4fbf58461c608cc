/**
 * A run of payment workers: so many messages of a queue, whichever processes settle them and however often one of them
 * starts again. Its processes claim shares of what is left, and settle no more than was claimed.
 */
import { Duration } from "effect"

/** What a run is; the same for all of its processes. */
export interface RunTerms {
  readonly id: string
  readonly queue: string
  /** Messages to settle; `undefined` is all that come, until the queue stays empty or somebody stops it. */
  readonly maxMessages: number | undefined
}

/** One process's part in a run. */
export interface RunShare {
  readonly run: RunTerms
  /** A UUID, a new one for each process that starts. */
  readonly holder: string
  /** What the holder has claimed is free for others when nothing was heard of it for so long. */
  readonly lease: Duration.Duration
}

/**
 * A process that did not leave, and whose lease has ended, may still have messages in hand for so long: a broker notices
 * only after some time (RabbitMQ: two missed heartbeats, 40 seconds) that a node is lost, and gives them back then.
 */
export const mournedFor = Duration.seconds(60)

/** What became of a run's messages, each counted once, by all of its processes together. */
export interface RunTotals {
  readonly stored: number
  readonly duplicates: number
  readonly deadLettered: number
}

export interface RunProgress {
  readonly totals: RunTotals
  /** Nothing is taken for it any more. */
  readonly isDone: boolean
}

/** Those that count towards `maxMessages`. */
export const counted = ({ deadLettered, duplicates, stored }: RunTotals): number => stored + duplicates + deadLettered

/** Below it, a claim costs more than what is claimed. */
const smallestGrant = 100
/** What a process that dies can hold back until its lease ends. */
const largestGrant = 10_000
/** Smaller towards the end, so that processes side by side end at about the same time. */
const grantsOfRest = 8

/** How much of what nobody has claimed one claim gets: all of it at most, and something as long as there is any. */
export const grantOf = (unclaimed: number): number =>
  Math.min(unclaimed, largestGrant, Math.max(smallestGrant, Math.ceil(unclaimed / grantsOfRest)))
