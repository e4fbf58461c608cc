/** A week of payments in figures: which week, what is counted, and how it reads. Amounts are exact, as decimal text. */

const day = 86_400_000

/** From Monday to Monday, in UTC: the first instant, and the first one after it. */
export interface Week {
  readonly start: number
  readonly end: number
}

/** The last week that was over at an instant: the same for all instants until the next Monday. */
export const weekBefore = (at: number): Week => {
  // 1970 began on a Thursday.
  const end = (Math.floor((at / day + 3) / 7) * 7 - 3) * day
  return { start: end - 7 * day, end }
}

/** How many, and what they come to. */
export interface Amounts {
  readonly currency: string
  readonly count: number
  readonly amount: string
}

/** What is counted of a week. */
export interface WeeklyFigures {
  readonly payments: {
    readonly stored: number
    /** The largest first: so many at most, the others are counted in `inOtherQueues`. */
    readonly byQueue: ReadonlyArray<{ readonly queue: string; readonly count: number }>
    readonly inOtherQueues: number
    /** Of those whose JSON has an amount and a currency. */
    readonly amounts: ReadonlyArray<Amounts>
    readonly withoutAmount: number
  }
  /** Payments that were asked for and went through their steps, by how they stood when this was counted. */
  readonly sagas: {
    readonly byOutcome: ReadonlyArray<Amounts & { readonly outcome: string }>
    readonly compensationRequired: number
  }
  readonly deadLetters: {
    /** On a broker that cannot remove them; elsewhere the database knows nothing of dead letters. */
    readonly putBack: number
  }
  /** Events of the week. */
  readonly outbox: {
    readonly unpublished: number
    /** Those of them that the broker has refused, dead ones included. */
    readonly refused: number
  }
}

export interface WeeklyReport extends WeeklyFigures {
  readonly id: string
  readonly from: string
  readonly to: string
}

/** Queues that are named. */
export const longestQueueList = 20

/** The report of a week. */
export const reportOf = ({ end, start }: Week, figures: WeeklyFigures): WeeklyReport => {
  const from = new Date(start).toISOString()
  return { id: `weekly_report/${from.slice(0, 10)}`, from, to: new Date(end).toISOString(), ...figures }
}

const cell = (value: string | number): string =>
  String(value)
    .replaceAll("|", "\\|")
    .replaceAll(/[\r\n]/g, " ")

const table = (titles: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>): string =>
  rows.length === 0
    ? "none"
    : [titles, titles.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")

/** The report as Markdown. */
export const markdownOf = ({ deadLetters, from, outbox, payments, sagas, to }: WeeklyReport): string => {
  const others = payments.inOtherQueues === 0 ? [] : [["others", payments.inOtherQueues]]
  return [
    `# Payments from ${from.slice(0, 10)} to ${to.slice(0, 10)} (UTC)`,
    `${payments.stored} payments stored, ${payments.withoutAmount} of them without an amount.`,
    "## By queue",
    table(["queue", "payments"], [...payments.byQueue.map(({ count, queue }) => [queue, count]), ...others]),
    "## Amounts",
    table(
      ["currency", "payments", "amount"],
      payments.amounts.map(({ amount, count, currency }) => [currency, count, amount])
    ),
    "## Payments in steps, by outcome",
    table(
      ["outcome", "currency", "payments", "amount"],
      sagas.byOutcome.map(({ amount, count, currency, outcome }) => [outcome, currency, count, amount])
    ),
    `Compensation waits for an operator: ${sagas.compensationRequired}.`,
    "## Dead letters and outbox",
    `Dead letters put back: ${deadLetters.putBack}. Events not published: ${outbox.unpublished}, ` +
      `of which ${outbox.refused} were refused.`
  ].join("\n\n")
}
