/**
 * The figures of a week, and the reports that were made of them.
 *
 * ## Guarantees
 * - A week has one report: the first that is kept stays, whoever keeps another.
 * - A report is kept by the transaction that it is kept in, or not at all.
 */
import { Context, type Effect } from "effect"
import type { StoreError } from "../StoreError.ts"
import type { Week, WeeklyFigures, WeeklyReport } from "../WeeklyReport.ts"
import type { Transaction } from "./Transaction.ts"

export class WeeklyReports extends Context.Service<
  WeeklyReports,
  {
    /** Counts as of now; may take long, and whoever asks bounds it. */
    readonly figures: (week: Week) => Effect.Effect<WeeklyFigures, StoreError>
    readonly find: (week: Week) => Effect.Effect<WeeklyReport | undefined, StoreError>
    /** Whether it was kept: not if the week has one. */
    readonly keep: (week: Week, report: WeeklyReport) => Effect.Effect<boolean, StoreError, Transaction>
  }
>()("paystream/domain/ports/WeeklyReports") {}
