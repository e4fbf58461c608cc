/** The pages for probes and metrics, as a probe sees them. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { eventually } from "./servers/eventually.ts"

/** A page as it is now. */
export const page = (port: number, path: string) =>
  Effect.tryPromise(async () => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: response.status, text: await response.text() }
  })

/** Waits until a page answers with this status. */
export const waitForStatus = (port: number, path: string, status: number) =>
  eventually(
    Effect.tap(page(port, path), (found) => Effect.sync(() => assert.strictEqual(found.status, status, found.text))),
    { deadline: "60 seconds", every: "100 millis" }
  )

/** Waits until so many topic workers have subscribed: from then on it is measured what they have in flight. */
export const waitForWorkers = (port: number, count: number) =>
  eventually(
    Effect.map(page(port, "/metrics"), ({ text }) =>
      assert.lengthOf([...text.matchAll(/^paystream_worker_in_flight\{/gm)], count)
    ),
    { deadline: "60 seconds", every: "50 millis" }
  )

const sample = /^paystream_messages_total\{outcome="(\w+)"\} (\d+)$/gm

/** The counter of messages, by outcome. */
export const outcomes = (metrics: string): Readonly<Record<string, number>> =>
  Object.fromEntries([...metrics.matchAll(sample)].map(([, outcome, value]) => [outcome, Number(value)]))

const workerSample = /^paystream_worker_(\w+)\{([^}]*)\} ([\d.]+)$/gm

/** What is measured of a topic worker, by name and by the labels that are neither the worker's nor its topic's. */
export const ofWorker = (metrics: string, worker: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...metrics.matchAll(workerSample)].flatMap(([, name, text = "", value]) => {
      const labels = [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, label, value]) => ({ label, value }))
      if (!labels.some(({ label, value }) => label === "worker" && value === worker)) return []
      const others = labels.filter(({ label }) => label !== "worker" && label !== "topic" && label !== "le")
      return [[[name, ...others.map(({ value }) => value)].join(" "), Number(value)]]
    })
  )
