/** How a delivery of the payment worker ends, decided from what the store said of it. */
import { Result } from "effect"
import type { BatchReport } from "./BatchReport.ts"
import type { DeadLetterReason } from "./DeadLetter.ts"
import type { Undecodable } from "./Payment.ts"
import type { Outcome } from "./ports/Broker.ts"
import type { StoreOutcome } from "./ports/PaymentStore.ts"

export type Verdict =
  | { readonly _tag: "Stored" | "Duplicate" | "Returned" }
  | {
      readonly _tag: "DeadLetter"
      readonly reason: DeadLetterReason
      /** May quote the payload: for the dead letter's header, never for a log. */
      readonly error: string
      readonly sqlState?: string
    }

const ofOutcome = (outcome: StoreOutcome = { _tag: "Undecided" }): Verdict => {
  switch (outcome._tag) {
    case "Undecided":
    case "OutOfShare":
      return { _tag: "Returned" }
    case "Conflict":
      return { _tag: "DeadLetter", reason: "conflict", error: "the same message id is stored with another payload" }
    case "Rejected":
      return {
        _tag: "DeadLetter",
        reason: "rejected_by_database",
        error: outcome.detail,
        sqlState: outcome.sqlState
      }
    default:
      return outcome
  }
}

/**
 * A verdict for each payload, in order. `outcomes` are those of the payloads that could be decoded; without any, those
 * were not stored and go back.
 */
export const verdicts = (
  payloads: ReadonlyArray<Result.Result<unknown, Undecodable>>,
  outcomes: ReadonlyArray<StoreOutcome | undefined>
): ReadonlyArray<Verdict> => {
  let next = 0
  return payloads.map((payload) => {
    if (Result.isFailure(payload)) {
      return { _tag: "DeadLetter", reason: payload.failure.reason, error: payload.failure.detail }
    }
    return ofOutcome(outcomes[next++])
  })
}

/** The same, with dead letters that could not be published given back. */
export const unlessDeadLetter = (verdict: Verdict): Verdict =>
  verdict._tag === "DeadLetter" ? { _tag: "Returned" } : verdict

/** What the broker is told; without a dead-letter queue of ours, its own policy gets what cannot be stored. */
export const settlementOf = (verdict: Verdict, options: { readonly setAside: boolean }): Outcome => {
  if (verdict._tag === "Returned") return "return"
  return verdict._tag === "DeadLetter" && !options.setAside ? "reject" : "done"
}

/** The verdicts, counted. */
export const count = (all: ReadonlyArray<Verdict>): BatchReport => {
  const counts = { Stored: 0, Duplicate: 0, DeadLetter: 0, Returned: 0 }
  for (const verdict of all) counts[verdict._tag]++
  return {
    stored: counts.Stored,
    duplicates: counts.Duplicate,
    deadLettered: counts.DeadLetter,
    returned: counts.Returned
  }
}
