/** Jobs that were added by hand: what they publish, and how a repeat can be told. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { Broker, BrokerAway, BrokerError, type TopicMessage } from "../../src/domain/ports/Broker.ts"
import type { Ending, KeptJob } from "../../src/domain/ports/JobHistory.ts"
import { addedJob } from "../../src/streams/AddedJobs.ts"
import * as JobMetrics from "../../src/streams/JobMetrics.ts"
import { begin, follow } from "../../src/streams/JobRunner.ts"
import { TracingEnabled } from "../../src/streams/Tracing.ts"
import { elapse } from "../support/JobStage.ts"

const bills: KeptJob = {
  name: "bills",
  schedule: "@daily",
  timeZone: "UTC",
  overlap: "skip",
  catchUp: "latest",
  publishes: { topic: "bills.due", payload: '{"amount":10.10}' },
  decidedUntil: 0,
  isPaused: false,
  isRemoved: false
}

const run = {
  job: "bills",
  scheduledFor: Date.UTC(2026, 0, 2),
  attempt: 1,
  fencingToken: 7n,
  losses: 0,
  isAhead: false
}

/** A broker that is away for so many attempts. */
const brokerAwayFor = (attempts: number) => {
  const asked: Array<TopicMessage> = []
  const layer = Layer.mock(Broker, {
    kind: "memory",
    address: "here",
    publishToTopics: (messages) =>
      Effect.suspend(() => {
        asked.push(...messages)
        const away = new BrokerError({ reason: new BrokerAway({ detail: "away" }) })
        return asked.length <= attempts ? Effect.fail(away) : Effect.void
      })
  })
  return { asked, layer }
}

describe("A job that was added by hand", () => {
  it.effect("publishes its payload as it is, with one id for all attempts, and in the trace of its run", () =>
    Effect.gen(function* () {
      const { asked, layer } = brokerAwayFor(1)
      const kept: Array<Ending> = []
      const keep = (ending: Ending) => Effect.sync(() => void kept.push(ending))
      const metrics = yield* JobMetrics.make
      const job = addedJob(bills)
      const running = Effect.flatMap(begin(job, run), (begun) =>
        follow(job, begun, { timeout: Duration.minutes(1), keep, metrics })
      ).pipe(Effect.provideService(TracingEnabled, true), Effect.provide(layer))
      const fiber = yield* Effect.forkChild(running, { startImmediately: true })
      yield* elapse("2 seconds")
      const ending = yield* fiber.pollUnsafe() ?? assert.fail("it has not ended")
      assert.deepInclude(ending, { outcome: "succeeded", result: '{"topic":"bills.due"}' })
      assert.strictEqual(ending.run.attempt, 2)
      assert.deepStrictEqual(
        kept.map(({ outcome, run: { attempt } }) => [outcome, attempt]),
        [[undefined, 1]]
      )
      assert.deepStrictEqual(
        asked.map(({ body, id, topic }) => [topic, id, new TextDecoder().decode(body)]),
        [1, 2].map(() => ["bills.due", "bills@2026-01-02T00:00:00.000Z/0", '{"amount":10.10}'])
      )
      const traces = asked.map(({ headers }) => String(headers.traceparent))
      for (const trace of traces) assert.match(trace, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      assert.strictEqual(new Set(traces.map((trace) => trace.split("-")[1])).size, 1, "one trace for the run")
    })
  )
})
