/**
 * Jobs on a schedule, and what has become of their occurrences.
 *
 * ## Guarantees
 * - An occurrence (a job and an instant) has one run, whoever asks for it, and however many at the same time.
 * - A run has one holder. Whoever was not heard of for as long as its lease can lose it: what it records then is refused.
 *   Each later holder of a run has a larger fencing token.
 * - Runs of one job that wait are held in the order of their instants, and none while an older one is open.
 * - Nothing is decided of a job that is paused or removed, nor by somebody who knows less of the job than what was decided.
 * - Nothing is decided of an occurrence that is not due. One that is in a moment (`aheadMillis`) is decided if no run of
 *   the job is open: whoever gets its run begins it at its instant. Until then nobody sees it, and it is in nobody's way.
 * - Time is the store's own.
 */
import { Context, type Duration, type Effect, Schema, type Stream } from "effect"
import type { CatchUp, Overlap } from "../CronJob.ts"
import type { HeldRun, KeptRun, Occurrence, Outcome } from "../JobRun.ts"
import type { StoreError } from "../StoreError.ts"

/** A job as everybody is to know it. */
export interface JobDefinition {
  readonly name: string
  readonly schedule: string
  readonly timeZone: string
  readonly overlap: Overlap
  readonly catchUp: CatchUp
  /** What a job without code does. */
  readonly publishes: Publishing | undefined
}

export interface Publishing {
  readonly topic: string
  /** JSON. */
  readonly payload: string
}

/** A job as it is kept. */
export interface KeptJob extends JobDefinition {
  /** Of all occurrences up to this instant it is decided what becomes of them. */
  readonly decidedUntil: number
  readonly isPaused: boolean
  readonly isRemoved: boolean
}

/** What is to become of occurrences that are due. */
export interface Proposal {
  readonly job: string
  /** As the proposer knows it: if it is another by now, nothing is done. */
  readonly decidedUntil: number
  readonly until: number
  readonly run: ReadonlyArray<number>
  readonly skip: ReadonlyArray<number>
  /** Why they are skipped. */
  readonly reason: string
}

/** What came of a proposal. */
export interface Decision {
  readonly job: string
  /** As it is now, as far as it is known: the proposal's own if the job is just being decided by somebody else. */
  readonly decidedUntil: number
  /** What the proposer has to run now. */
  readonly run: HeldRun | undefined
  readonly skipped: number
  /** Wait until what is open has ended. */
  readonly queued: number
}

export interface Holder {
  /** Who: for people. */
  readonly replica: string
  readonly lease: Duration.Duration
}

/** What has become of an attempt. */
export interface Ending {
  /** Its attempt is 0 if it never began. */
  readonly run: HeldRun
  /** `undefined`: it is going to be tried again by the same holder, which keeps it. */
  readonly outcome: Outcome | undefined
  /** Whether somebody is to take it up again at once. */
  readonly isReleased: boolean
  /** When it really began, on the store's clock; `undefined`: when it was held. */
  readonly startedAt: number | undefined
  readonly error: string | undefined
  readonly result: string | undefined
}

/** What was recorded. */
export interface Recorded {
  /** Runs whose endings were refused: somebody else has them. */
  readonly refused: ReadonlyArray<HeldRun>
  /** Whether another run of one of these jobs waits. */
  readonly hasWaiting: boolean
}

/** The name belongs to a job of the other kind. */
export class JobNameTaken extends Schema.TaggedError<JobNameTaken>()("JobNameTaken", { detail: Schema.String }) {
  readonly isRetryable = false
  override get message(): string {
    return this.detail
  }
}

/** Some of the jobs, by their names. */
export interface JobsPage {
  readonly now: number
  readonly jobs: ReadonlyArray<KeptJob>
  /** Which page this is, from 1: the last one, if it was asked for one beyond. */
  readonly page: number
  /** How many there are; one at least. */
  readonly pages: number
}

/** Runs to count: of each job the newest `most` of instants in `(after, until]`, in spans of that time. */
export interface CountQuery {
  readonly jobs: ReadonlyArray<string>
  readonly after: number
  readonly until: number
  readonly spanMillis: number
  readonly most: number
}

/** So many runs of a job, in one span of time, of which the same has become. */
export interface RunCount {
  readonly job: string
  /** From 0. */
  readonly span: number
  /** `undefined`: they go on or wait. */
  readonly outcome: Outcome | undefined
  readonly count: number
}

/** Which runs to show. */
export interface HistoryQuery {
  readonly job: string | undefined
  readonly onlyFailed: boolean
  readonly limit: number
}

export class JobHistory extends Context.Service<
  JobHistory,
  {
    /**
     * Makes declared jobs known. With another schedule than before, a job begins anew: nothing of what the new one would
     * have run is missed.
     */
    readonly register: (jobs: ReadonlyArray<JobDefinition>) => Effect.Effect<void, StoreError | JobNameTaken>
    /** Adds a job that publishes, or changes it. */
    readonly add: (job: JobDefinition) => Effect.Effect<void, StoreError | JobNameTaken>
    /** Removes a job that publishes; whether there was one. */
    readonly remove: (name: string) => Effect.Effect<boolean, StoreError>
    /** Whether there is such a job. What would have run while it was paused is not missed. */
    readonly pause: (name: string, isPaused: boolean) => Effect.Effect<boolean, StoreError>
    /** The jobs, or those that have changed since an instant, removed ones too; and what time it is. */
    readonly jobs: (
      changedSince: number | undefined
    ) => Effect.Effect<{ readonly now: number; readonly jobs: ReadonlyArray<KeptJob> }, StoreError>
    /** The jobs of a page of so many, in the order of their names. */
    readonly page: (page: number, size: number) => Effect.Effect<JobsPage, StoreError>
    readonly job: (name: string) => Effect.Effect<KeptJob | undefined, StoreError>
    /** Says that jobs may have changed, or that a run waits; may also not say so. */
    readonly hints: Stream.Stream<void, StoreError>

    /** Decides what is due, and holds what is to be run. */
    readonly decide: (
      holder: Holder,
      proposals: ReadonlyArray<Proposal>
    ) => Effect.Effect<{ readonly now: number; readonly decisions: ReadonlyArray<Decision> }, StoreError>
    /** Holds runs of these jobs that wait, or that nobody holds any more: so many at most. */
    readonly takeWaiting: (
      holder: Holder,
      jobs: ReadonlyArray<string>,
      limit: number
    ) => Effect.Effect<ReadonlyArray<HeldRun>, StoreError>
    /** Holds a run that somebody asked for, at an instant or now; `undefined` if that has a run, or another is open. */
    readonly takeNow: (
      holder: Holder,
      job: string,
      scheduledFor: number | undefined
    ) => Effect.Effect<HeldRun | undefined, StoreError>
    /** Goes on holding these; those that it has lost. */
    readonly renew: (holder: Holder, runs: ReadonlyArray<HeldRun>) => Effect.Effect<ReadonlyArray<HeldRun>, StoreError>
    /** What is released is hinted at. */
    readonly record: (endings: ReadonlyArray<Ending>) => Effect.Effect<Recorded, StoreError>
    /** Jobs of which more than one run is open. */
    readonly overlapping: Effect.Effect<ReadonlyArray<string>, StoreError>

    /** Runs, newest first; here and in `lastRuns` none whose instant is still to come. */
    readonly runs: (query: HistoryQuery) => Effect.Effect<ReadonlyArray<KeptRun>, StoreError>
    /** The newest runs of each of these jobs, so many of each at most, the newest first. */
    readonly lastRuns: (jobs: ReadonlyArray<string>, most: number) => Effect.Effect<ReadonlyArray<KeptRun>, StoreError>
    readonly countRuns: (query: CountQuery) => Effect.Effect<ReadonlyArray<RunCount>, StoreError>
    readonly find: (occurrence: Occurrence) => Effect.Effect<KeptRun | undefined, StoreError>
    /**
     * Removes at most `limit` runs of instants longer ago than `age`, and among them those that were lost and that nobody
     * has taken over for so long: their jobs are gone. The number of those removed.
     */
    readonly forget: (age: Duration.Duration, limit: number) => Effect.Effect<number, StoreError>
  }
>()("paystream/domain/ports/JobHistory") {}
