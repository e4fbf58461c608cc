/** The page of jobs, from values to HTML: what is on a schedule, what has become of it, and forms to do something about it. */
import type { KeptRun } from "../../domain/JobRun.ts"
import { endOf, nextOf, shownIn, tookOf } from "../../domain/JobText.ts"
import type { KeptJob, RunCount } from "../../domain/ports/JobHistory.ts"
import { Html, html } from "./Html.ts"
import { style } from "./JobsStyle.ts"
import { open, timeline } from "./JobsTimeline.ts"

/** A job, its last runs, the newest first, and how many there were in the last days. */
export interface ShownJob {
  readonly job: KeptJob
  readonly runs: ReadonlyArray<KeptRun>
  readonly counts: ReadonlyArray<RunCount>
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

const kindOf = ({ outcome }: KeptRun): string => outcome ?? open

/** An instant on the clocks of a job, to the second, and in parts that a narrow screen can break between. */
const when = ({ timeZone }: KeptJob, at: number): Html => {
  const text = shownIn(timeZone, at)
  const [, day, time, offset] = /^(\S+)T([\d:]+)[.\d]*(\S*)$/.exec(text) ?? [undefined, text, "", ""]
  return html`<time datetime="${text}"><span>${day}</span> <span>${time}</span> <span>${offset}</span></time>`
}

const came = ({ error, replica, result }: KeptRun): Html =>
  html`${replica === undefined ? undefined : html`on ${replica}`}${
    error === undefined ? undefined : html`<pre>${error}</pre>`
  }${result === undefined ? undefined : html`<pre>${result}</pre>`}`

const row = (job: KeptJob, run: KeptRun): Html => html`<tr>
<th scope="row">${when(job, run.scheduledFor)}${run.isManual ? html` <span class="note">by hand</span>` : undefined}</th>
<td class="${kindOf(run)}">${endOf(run)}</td><td>${run.attempt}</td><td>${tookOf(run)}</td>
</tr><tr class="more"><td colspan="4">${came(run)}</td></tr>`

const history = ({ job, runs }: ShownJob): Html =>
  runs.length === 0
    ? html`<p class="note">It has not run yet.</p>`
    : html`<details><summary>Last runs of ${job.name}</summary>
<div class="scroll" role="region" aria-label="Last runs of ${job.name}" tabindex="0"><table>
<thead><tr><th scope="col">Scheduled for</th><th scope="col">Outcome</th><th scope="col">Attempt</th><th scope="col">Took</th></tr></thead>
<tbody>
${runs.map((run) => row(job, run))}
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
  const took = last?.finishedAt === undefined ? undefined : `, ${tookOf(last)}`
  const fields: ReadonlyArray<readonly [string, Html | string]> = [
    ["Schedule", `${job.schedule} (${job.timeZone})`],
    ["Next run", next === undefined ? "-" : when(job, next)],
    ["Last run", last === undefined ? "-" : html`${when(job, last.scheduledFor)}${took}`],
    ...(job.publishes === undefined ? [] : [["Publishes to", job.publishes.topic] as const])
  ]
  return html`<article aria-labelledby="job-${index}">
<div class="title"><h2 id="job-${index}">${job.name}</h2>${stateOf(shown)}</div>
<dl>${fields.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
${timeline(job, shown.counts, now)}
${trouble(shown)}
${history(shown)}
${isReadOnly ? undefined : form(shown)}
</article>
`
}

const link = (page: number, text: string): Html => html`<a href="/jobs?page=${page}">${text}</a>`

const pager = ({ page, pages }: JobsView): Html | undefined => {
  if (pages <= 1) return undefined
  const [first, before] = page > 1 ? [link(1, "First"), link(page - 1, "Previous")] : []
  const [after, last] = page < pages ? [link(page + 1, "Next"), link(pages, "Last")] : []
  return html`<nav aria-label="Pages">${first}${before}<span>Page ${page} of ${pages}</span>${after}${last}</nav>`
}

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
