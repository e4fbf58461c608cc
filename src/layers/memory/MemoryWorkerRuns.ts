/** Runs of payment workers in memory, beside the rows that they count. */
import { Clock, Duration, Effect, Result } from "effect"
import type { WorkerRuns } from "../../domain/ports/WorkerRuns.ts"
import { RunMismatch } from "../../domain/ports/WorkerRuns.ts"
import {
  counted,
  grantOf,
  type RunProgress,
  type RunShare,
  type RunTerms,
  type RunTotals
} from "../../domain/WorkerRun.ts"

interface Share extends RunTotals {
  readonly granted: number
  readonly isIdle: boolean
  readonly leasedUntil: number
}

interface Run {
  readonly terms: RunTerms
  readonly shares: Map<string, Share>
  isDone: boolean
}

const nothing: RunTotals = { stored: 0, duplicates: 0, deadLettered: 0 }

const sum = (one: RunTotals, other: RunTotals): RunTotals => ({
  stored: one.stored + other.stored,
  duplicates: one.duplicates + other.duplicates,
  deadLettered: one.deadLettered + other.deadLettered
})

const totalsOf = (run: Run | undefined): RunTotals => [...(run?.shares.values() ?? [])].reduce(sum, nothing)
const leftOf = (share: Share | undefined): number => (share === undefined ? 0 : share.granted - counted(share))

const mismatch = (run: Run | undefined, terms: RunTerms): RunMismatch | undefined =>
  run === undefined || (run.terms.queue === terms.queue && run.terms.maxMessages === terms.maxMessages)
    ? undefined
    : new RunMismatch({ detail: `the run ${terms.id} was begun on other terms` })

/** The runs of one store, and how the store counts. */
export const make = () => {
  const runs = new Map<string, Run>()
  const limitOf = (run: Run) => run.terms.maxMessages ?? Number.POSITIVE_INFINITY

  const standing = (run: Run | undefined): RunProgress => {
    const totals = totalsOf(run)
    if (run !== undefined && counted(totals) >= limitOf(run)) run.isDone = true
    return { totals, isDone: run?.isDone === true }
  }

  /** Counts, if the share has room for it. */
  const count = ({ holder, run: { id } }: RunShare, more: Partial<RunTotals>): boolean => {
    const run = runs.get(id)
    const share = run?.shares.get(holder)
    const totals = sum(share ?? nothing, { ...nothing, ...more })
    if (run === undefined || share === undefined || counted(totals) > share.granted) return false
    run.shares.set(holder, { ...share, ...totals, isIdle: false })
    return true
  }

  const change = ({ holder, run }: RunShare, changes: (share: Share) => Partial<Share>) => {
    const shares = runs.get(run.id)?.shares
    const share = shares?.get(holder)
    if (share !== undefined) shares?.set(holder, { ...share, ...changes(share) })
  }

  const reclaim = ({ shares }: Run, now: number) => {
    for (const [holder, share] of shares) {
      const isLeftBehind = share.leasedUntil < now && Number.isFinite(share.granted)
      if (isLeftBehind) shares.set(holder, { ...share, granted: counted(share) })
    }
  }

  const claim = ({ holder, lease, run: terms }: RunShare, now: number) => {
    const run = runs.get(terms.id) ?? { terms, shares: new Map(), isDone: false }
    const wrong = mismatch(run, terms)
    if (wrong !== undefined) return Result.fail(wrong)
    runs.set(terms.id, run)
    const isUnlimited = terms.maxMessages === undefined
    const own = run.shares.get(holder) ?? { ...nothing, granted: isUnlimited ? limitOf(run) : 0 }
    run.shares.set(holder, { ...own, isIdle: false, leasedUntil: now + Duration.toMillis(lease) })
    reclaim(run, now)
    const progress = standing(run)
    if (progress.isDone) return Result.succeed({ ...progress, left: 0, fresh: 0 })
    if (isUnlimited) return Result.succeed({ ...progress, left: limitOf(run), fresh: limitOf(run) })
    const granted = [...run.shares.values()].reduce((all, share) => all + share.granted, 0)
    const fresh = grantOf(limitOf(run) - granted)
    change({ holder, lease, run: terms }, (share) => ({ granted: share.granted + fresh }))
    return Result.succeed({ ...progress, left: leftOf(run.shares.get(holder)), fresh })
  }

  const idle = (share: RunShare, now: number): boolean => {
    const run = runs.get(share.run.id)
    if (run === undefined) return false
    change(share, () => ({ isIdle: true, leasedUntil: now + Duration.toMillis(share.lease) }))
    const isBusy = [...run.shares.values()].some(
      (other) => !other.isIdle && other.leasedUntil >= now && leftOf(other) > 0
    )
    if (!isBusy) run.isDone = true
    return run.isDone
  }

  const timed = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, work)

  const service: WorkerRuns["Service"] = {
    claim: (share) =>
      Effect.flatMap(
        timed((now) => claim(share, now)),
        Effect.fromResult
      ),
    renew: (share) =>
      Effect.flatMap(
        timed((now) => {
          const run = runs.get(share.run.id)
          const wrong = mismatch(run, share.run)
          if (wrong !== undefined) return Result.fail(wrong)
          change(share, () => ({ leasedUntil: now + Duration.toMillis(share.lease) }))
          return Result.succeed(standing(run))
        }),
        Effect.fromResult
      ),
    countDeadLetters: (share, deadLettered) => Effect.sync(() => count(share, { deadLettered })),
    idle: (share) => timed((now) => idle(share, now)),
    leave: (share) =>
      timed((now) => {
        change(share, (own) => ({ granted: counted(own), leasedUntil: now }))
        return standing(runs.get(share.run.id))
      })
  }
  return { service, count }
}
