/** The page of jobs, from values to HTML: what is on a schedule, what has become of it, and forms to do something about it. */
import type { KeptRun } from "../../domain/JobRun.ts"
import { endOf, nextOf, shownIn, tookOf } from "../../domain/JobText.ts"
import type { KeptJob } from "../../domain/ports/JobHistory.ts"
import { Html, html } from "./Html.ts"
import { style } from "./JobsStyle.ts"

/** A job and its newest runs, the newest first. */
export interface ShownJob {
  readonly job: KeptJob
  readonly runs: ReadonlyArray<KeptRun>
  /** Whether this process can run it when it is asked to. */
  readonly isRunnable: boolean
}

export interface JobsView {
  readonly now: number
  readonly jobs: ReadonlyArray<ShownJob>
  /** From 1. */
  readonly page: number
  readonly pages: number
  /** Whether somebody with a key may run and pause jobs. */
  readonly isReadOnly: boolean
}

const dayMillis = 86_400_000
const days = 7
const bucketsPerDay = 12
const buckets = days * bucketsPerDay
const bucketMillis = dayMillis / bucketsPerDay

/** In the table of a job: all others are in `jobs history`, and only in the timeline here. */
export const listedRuns = 10

const document = (title: string, body: Html): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Html({ text: style })}</style>
</head>
<body>
${body}
</body>
</html>
`.text

/** What is said of several runs in one place is the worst of them. */
const bySeverity = ["failed", "timed_out", "interrupted", "skipped", "open", "succeeded"]

const kindOf = ({ outcome }: KeptRun): string => outcome ?? "open"

const worstOf = (runs: ReadonlyArray<KeptRun>): string =>
  bySeverity.find((kind) => runs.some((run) => kindOf(run) === kind)) ?? "none"

const countsOf = (runs: ReadonlyArray<KeptRun>): string =>
  [...Map.groupBy(runs, kindOf)].map(([kind, { length }]) => `${length} ${kind.replace("_", " ")}`).join(", ")

const timeline = ({ job, runs }: ShownJob, now: number): Html => {
  const from = now - days * dayMillis
  const seen = runs.filter(({ scheduledFor }) => scheduledFor > from && scheduledFor <= now)
  const byBucket = Map.groupBy(seen, ({ scheduledFor }) => Math.floor((scheduledFor - from) / bucketMillis))
  const bar = (index: number): Html => {
    const own = byBucket.get(index) ?? []
    const began = shownIn(job.timeZone, from + index * bucketMillis)
    return html`<rect class="${worstOf(own)}" x="${index * 10}" width="8.5" height="24">${
      own.length === 0 ? undefined : html`<title>${countsOf(own)} in two hours from ${began}</title>`
    }</rect>`
  }
  const told = seen.length === 0 ? "no runs" : countsOf(seen)
  return html`<svg viewBox="0 0 ${buckets * 10} 24" preserveAspectRatio="none" role="img" aria-label="Last seven days: ${told}">
${Array.from({ length: buckets }, (_, index) => bar(index))}
</svg>
<p class="days"><span>7 days ago</span><span>${told}</span><span>now</span></p>`
}

const row = (job: KeptJob, run: KeptRun): Html => html`<tr>
<th scope="row">${shownIn(job.timeZone, run.scheduledFor)}${run.isManual ? html` <span class="note">by hand</span>` : undefined}</th>
<td class="${kindOf(run)}">${endOf(run)}</td><td>${run.attempt}</td><td>${tookOf(run)}</td>
<td>${run.replica ?? "-"}${run.error === undefined ? undefined : html`<pre>${run.error}</pre>`}${
  run.result === undefined ? undefined : html`<pre>${run.result}</pre>`
}</td>
</tr>`

const history = ({ job, runs }: ShownJob): Html =>
  runs.length === 0
    ? html`<p class="note">It has not run yet.</p>`
    : html`<details><summary>Last runs of ${job.name}</summary>
<div class="scroll" role="region" aria-label="Last runs of ${job.name}" tabindex="0"><table>
<thead><tr><th scope="col">Scheduled for</th><th scope="col">Outcome</th><th scope="col">Attempt</th><th scope="col">Took</th><th scope="col">Where, and what came of it</th></tr></thead>
<tbody>
${runs.slice(0, listedRuns).map((run) => row(job, run))}
</tbody></table></div></details>`

const form = ({ isRunnable, job }: ShownJob): Html => html`<details><summary>Run or pause ${job.name}</summary>
<form method="post" action="/jobs">
<input type="hidden" name="job" value="${job.name}">
<label>Key (one of API_KEYS)<input type="password" name="key" required autocomplete="current-password"></label>
${isRunnable ? html`<button name="action" value="run">Run now</button>` : undefined}
${
  job.isPaused
    ? html`<button name="action" value="resume">Resume</button>`
    : html`<button name="action" value="pause">Pause</button>`
}
</form></details>`

const stateOf = ({ job, runs }: ShownJob): Html => {
  if (job.isPaused) return html`<span class="state">paused</span>`
  const [last] = runs
  return last === undefined
    ? html`<span class="state">not run yet</span>`
    : html`<span class="state ${kindOf(last)}">${endOf(last)}</span>`
}

/** The error of the last run, where everybody sees it. */
const trouble = ({ runs: [last] }: ShownJob): Html | undefined =>
  last?.error === undefined || last.outcome === "skipped" ? undefined : html`<pre class="error">${last.error}</pre>`

const article = (shown: ShownJob, index: number, { isReadOnly, now }: JobsView): Html => {
  const { job, runs } = shown
  const [next] = nextOf(job, now, 1)
  const [last] = runs
  const fields: ReadonlyArray<readonly [string, string]> = [
    ["Schedule", `${job.schedule} (${job.timeZone})`],
    ["Next run", next === undefined ? "-" : shownIn(job.timeZone, next)],
    ["Last run", last === undefined ? "-" : `${shownIn(job.timeZone, last.scheduledFor)} (${tookOf(last)})`],
    ...(job.publishes === undefined ? [] : [["Publishes to", job.publishes.topic] as const])
  ]
  return html`<article aria-labelledby="job-${index}">
<div class="title"><h2 id="job-${index}">${job.name}</h2>${stateOf(shown)}</div>
<dl>${fields.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${timeline(shown, now)}
${trouble(shown)}
${history(shown)}
${isReadOnly ? undefined : form(shown)}
</article>
`
}

const link = (page: number, text: string): Html => html`<a href="/jobs?page=${page}">${text}</a>`

const pager = ({ page, pages }: JobsView): Html | undefined =>
  pages <= 1
    ? undefined
    : html`<nav aria-label="Pages">${page > 1 ? link(page - 1, "Previous") : undefined}<span>Page ${page} of ${pages}</span>${
        page < pages ? link(page + 1, "Next") : undefined
      }</nav>`

/** The page of jobs. */
export const jobsPage = (view: JobsView): string =>
  document(
    "Jobs",
    html`<header><h1>Jobs</h1><p>As of ${new Date(view.now).toISOString()}, by the clock of the database. <a href="/jobs">Look again</a></p></header>
<main>
${view.jobs.length === 0 ? html`<p>There are no jobs.</p>` : view.jobs.map((shown, index) => article(shown, index, view))}
${pager(view)}
</main>
<footer>${view.isReadOnly ? "This page is read-only: API_KEYS is not set." : "Jobs are run and paused with one of API_KEYS."}</footer>`
  )

/** What is said when something was not done. */
export const refusalPage = (title: string, detail: string): string =>
  document(
    title,
    html`<header><h1>${title}</h1></header><main><p role="alert">${detail}</p><p><a href="/jobs">Back to the jobs</a></p></main>`
  )
