/** What a job has done in the last seven days, as bars of two hours: the worst of what happened in each. */
import { shownIn } from "../../domain/JobText.ts"
import type { CountQuery, KeptJob, RunCount } from "../../domain/ports/JobHistory.ts"
import { type Html, html } from "./Html.ts"

const days = 7
const barMillis = 2 * 3_600_000
const bars = (days * 86_400_000) / barMillis

/** Enough for a job that runs every quarter of an hour; of the others the newest are looked at. */
const mostRuns = 672

/** What to count of these jobs. */
export const countsOf = (jobs: ReadonlyArray<string>, now: number): CountQuery => ({
  jobs,
  after: now - bars * barMillis,
  until: now,
  spanMillis: barMillis,
  most: mostRuns
})

/** How a run is called that has not ended. */
export const open = "open"

/** What is said of several runs in one place is the worst of them. */
const bySeverity = ["failed", "timed_out", "interrupted", "skipped", open, "succeeded"]

const kindOf = ({ outcome }: RunCount): string => outcome ?? open

const worstOf = (counts: ReadonlyArray<RunCount>): string =>
  bySeverity.find((kind) => counts.some((one) => kindOf(one) === kind)) ?? "none"

const sumOf = (counts: ReadonlyArray<RunCount>): number => counts.reduce((sum, { count }) => sum + count, 0)

const told = (counts: ReadonlyArray<RunCount>): string =>
  [...Map.groupBy(counts, kindOf)]
    .map(([kind, same]) => `${sumOf(same)} ${kind === open ? "going on" : kind.replace("_", " ")}`)
    .join(", ")

/** The bars of a job, the oldest first, and what they show in words. */
export const timeline = (job: KeptJob, counts: ReadonlyArray<RunCount>, now: number): Html => {
  const from = now - bars * barMillis
  const bySpan = Map.groupBy(counts, ({ span }) => span)
  const isCut = sumOf(counts) >= mostRuns
  const oldest = isCut ? Math.min(...bySpan.keys()) : 0
  const bar = (index: number): Html => {
    const own = bySpan.get(index) ?? []
    const began = shownIn(job.timeZone, from + index * barMillis)
    const title = index < oldest ? `not looked at: two hours from ${began}` : `${told(own)} in two hours from ${began}`
    return html`<rect class="${index < oldest ? "unseen" : worstOf(own)}" x="${index * 10}" width="8.5" height="24">${
      own.length === 0 && index >= oldest ? undefined : html`<title>${title}</title>`
    }</rect>`
  }
  const said = counts.length === 0 ? "no runs" : `${isCut ? `the newest ${mostRuns}: ` : ""}${told(counts)}`
  return html`<svg viewBox="0 0 ${bars * 10} 24" preserveAspectRatio="none" role="img" aria-label="Last seven days: ${said}">
${Array.from({ length: bars }, (_, index) => bar(index))}
</svg>
<p class="days"><span>7 days ago</span><span>${said}</span><span>now</span></p>`
}
