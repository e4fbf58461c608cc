/** Runs of payment workers in memory, beside the rows that they count. */
import { Clock, Duration, Effect, Result } from "effect"
import { type Claimed, RunMismatch, type WorkerRuns } from "../../domain/ports/WorkerRuns.ts"
import {
  counted,
  grantOf,
  mournedFor,
  type RunProgress,
  type RunShare,
  type RunTerms,
  type RunTotals
} from "../../domain/WorkerRun.ts"

interface Share extends RunTotals {
  readonly granted: number
  readonly isIdle: boolean
  readonly leasedUntil: number
  readonly hasLeft: boolean
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

const limitOf = ({ terms }: Run): number => terms.maxMessages ?? Number.POSITIVE_INFINITY

const standing = (run: Run | undefined): RunProgress => {
  const totals = totalsOf(run)
  if (run !== undefined && counted(totals) >= limitOf(run)) run.isDone = true
  return { totals, isDone: run?.isDone === true }
}

const change = (run: Run | undefined, holder: string, changes: (share: Share) => Partial<Share>): void => {
  const share = run?.shares.get(holder)
  if (share !== undefined) run?.shares.set(holder, { ...share, ...changes(share) })
}

/** What holders have left behind that nothing was heard of. */
const reclaim = ({ shares }: Run, now: number): void => {
  for (const [holder, share] of shares) {
    const isLeftBehind = share.leasedUntil < now && Number.isFinite(share.granted)
    if (isLeftBehind) shares.set(holder, { ...share, granted: counted(share) })
  }
}

const claim = (run: Run, { holder, lease }: RunShare, now: number): Claimed => {
  const isUnlimited = run.terms.maxMessages === undefined
  const own = run.shares.get(holder) ?? { ...nothing, granted: isUnlimited ? limitOf(run) : 0 }
  run.shares.set(holder, { ...own, isIdle: false, hasLeft: false, leasedUntil: now + Duration.toMillis(lease) })
  reclaim(run, now)
  const progress = standing(run)
  if (progress.isDone) return { ...progress, left: 0, fresh: 0 }
  if (isUnlimited) return { ...progress, left: limitOf(run), fresh: limitOf(run) }
  const granted = [...run.shares.values()].reduce((all, share) => all + share.granted, 0)
  const fresh = grantOf(limitOf(run) - granted)
  change(run, holder, (share) => ({ granted: share.granted + fresh }))
  return { ...progress, left: leftOf(run.shares.get(holder)), fresh }
}

/** It may still settle something; or it was lost, and the broker may not have noticed yet. */
const isBusy = (share: Share, now: number): boolean => {
  if (share.isIdle || share.hasLeft) return false
  const isAlive = share.leasedUntil >= now
  return isAlive ? leftOf(share) > 0 : share.leasedUntil + Duration.toMillis(mournedFor) >= now
}

const idle = (run: Run | undefined, { holder, lease }: RunShare, now: number): boolean => {
  if (run === undefined) return false
  change(run, holder, () => ({ isIdle: true, leasedUntil: now + Duration.toMillis(lease) }))
  if (![...run.shares.values()].some((share) => isBusy(share, now))) run.isDone = true
  return run.isDone
}

/** The runs of one store, and how the store counts. */
export const make = () => {
  const runs = new Map<string, Run>()
  const timed = <A>(work: (now: number) => A): Effect.Effect<A> => Effect.map(Clock.currentTimeMillis, work)
  const onItsTerms = <A>({ run: terms }: RunShare, work: (run: Run | undefined, now: number) => A) => {
    const answer = timed((now) => {
      const run = runs.get(terms.id)
      const wrong = mismatch(run, terms)
      return wrong === undefined ? Result.succeed(work(run, now)) : Result.fail(wrong)
    })
    return Effect.flatMap(answer, Effect.fromResult)
  }
  const begin = (terms: RunTerms): Run => {
    const run = { terms, shares: new Map(), isDone: false }
    runs.set(terms.id, run)
    return run
  }

  /** Counts, if the share has room for it. */
  const count = ({ holder, run: { id } }: RunShare, more: Partial<RunTotals>): boolean => {
    const run = runs.get(id)
    const share = run?.shares.get(holder)
    const totals = sum(share ?? nothing, { ...nothing, ...more })
    if (share === undefined || counted(totals) > share.granted) return false
    change(run, holder, () => ({ ...totals, isIdle: false }))
    return true
  }

  const service: WorkerRuns["Service"] = {
    claim: (share) => onItsTerms(share, (run, now) => claim(run ?? begin(share.run), share, now)),
    renew: (share) =>
      onItsTerms(share, (run, now) => {
        change(run, share.holder, () => ({ leasedUntil: now + Duration.toMillis(share.lease) }))
        return standing(run)
      }),
    countDeadLetters: (share, deadLettered) => Effect.sync(() => count(share, { deadLettered })),
    idle: (share) => timed((now) => idle(runs.get(share.run.id), share, now)),
    leave: (share) =>
      timed((now) => {
        const run = runs.get(share.run.id)
        change(run, share.holder, (own) => ({ granted: counted(own), leasedUntil: now, hasLeft: true }))
        return standing(run)
      })
  }
  return { service, count }
}
