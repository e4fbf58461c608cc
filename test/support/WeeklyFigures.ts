/** A week whose amounts no float holds, and whose queue would break a table of Markdown. */
import type { WeeklyFigures } from "../../src/domain/WeeklyReport.ts"

export const figures: WeeklyFigures = {
  payments: {
    stored: 4,
    byQueue: [{ queue: "a|b\nc", count: 3 }],
    inOtherQueues: 1,
    amounts: [{ currency: "BRL", count: 2, amount: "9007199254740993.01" }],
    withoutAmount: 2
  },
  sagas: { byOutcome: [], compensationRequired: 0 },
  deadLetters: { putBack: 5 },
  outbox: { unpublished: 6, refused: 7 }
}
