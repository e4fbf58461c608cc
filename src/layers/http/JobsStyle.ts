/** How the page of jobs looks, and what a browser lets it do: nothing but this style, and forms to where it came from. */
import { createHash } from "node:crypto"

/** As it stands in the page: its digest is in the policy. */
export const style = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566274; --line: #d5dbe3; --back: #f4f6f9; --card: #fff;
  --good: #1a7f4b; --bad: #c0272d; --late: #b45309; --idle: #66758a; --empty: #e6eaf0; --accent: #1d4fd8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3afbf; --line: #333d4b; --back: #12161c;
  --card: #1b212a; --good: #4cc38a; --bad: #ff7b7b; --late: #f0a94a; --idle: #93a1b5; --empty: #2a323e;
  --accent: #8ab4ff; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1, h2 { margin: 0; line-height: 1.25; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; }
p { margin: .25rem 0; } header p, footer, dt, .note { color: var(--soft); }
article { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 0 0 1rem; }
.title { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: center; justify-content: space-between; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .5rem 1rem; margin: .75rem 0; }
dt { font-size: .85rem; } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.state { font-weight: 600; font-size: .9rem; white-space: nowrap; color: var(--idle); }
.succeeded { color: var(--good); fill: var(--good); } .failed, .timed_out { color: var(--bad); fill: var(--bad); }
.skipped, .interrupted { color: var(--late); fill: var(--late); } .none { fill: var(--empty); } .unseen { fill: none; stroke: var(--empty); }
.open { color: var(--accent); fill: var(--accent); }
svg { display: block; width: 100%; height: 1.5rem; border-radius: .25rem; }
.days { display: flex; justify-content: space-between; gap: .75rem; font-size: .8rem; color: var(--soft); }
.days span:nth-child(2) { text-align: center; } .days span:nth-child(odd), time span { white-space: nowrap; }
details { margin-top: .25rem; } summary { cursor: pointer; padding: .4rem 0; color: var(--accent); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line); }
tr:has(+ .more) > *, thead th { padding-bottom: .1rem; } .more td { border: 0; color: var(--soft); padding: 0 0 .5rem; }
pre { margin: .4rem 0 0; color: var(--ink); padding: .6rem; max-height: 16rem; overflow: auto; background: var(--back);
  border-radius: .4rem; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 30rem) { table { font-size: .8rem; } th, td { padding-right: .4rem; } }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; }
label { display: grid; font-size: .85rem; color: var(--soft); flex: 1 1 12rem; }
input, button { font: inherit; min-height: 2.75rem; padding: .4rem .9rem; border-radius: .4rem; color: var(--ink);
  background: var(--card); border: 1px solid var(--idle); }
button { cursor: pointer; } button[value="run"] { background: var(--accent); border-color: var(--accent); color: var(--card); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
nav { display: flex; gap: 1rem; } a { color: var(--accent); }
`

const digest = createHash("sha256").update(style).digest("base64")

const policy = [
  "default-src 'none'",
  `style-src 'sha256-${digest}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'"
].join("; ")

/** With every page. The address of the page is told to itself alone, so that a form from elsewhere can be told. */
export const pageHeaders = {
  "content-security-policy": policy,
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin",
  "cache-control": "no-store"
} as const
