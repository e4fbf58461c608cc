/** Schedulers that are killed and frozen, and their database restarted: each occurrence is completed once all the same. */
import { randomUUID } from "node:crypto"
import { readFileSync } from "node:fs"
import { assert, layer } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import { type Ground, groundOn, rows, start } from "../support/JobGround.ts"
import { OwnServers } from "../support/OwnServers.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"

/** Each due every second, and as many every four seconds: so many occurrences are over in half a minute. */
const jobsAtOnce = 16
const occurrences = 500

/** Runs of ticks that have ended well. */
const succeededCount = (on: Ground) =>
  Effect.map(
    rows<{ count: number }>(on, "SELECT count(*)::int AS count FROM job_runs WHERE outcome = 'succeeded'"),
    ([row]) => row?.count ?? 0
  )

const replica = Effect.fnUntraced(function* (on: Ground, index: number) {
  return yield* start(on, ["--mode=scheduler"], {
    runtime: Chaos.runtimeOf(index),
    TICKS: `${jobsAtOnce}`,
    // a single one that is left may have to run them all
    WORKER_MAX_CONCURRENT_JOBS: `${4 * jobsAtOnce}`,
    JOB_LEASE_SECONDS: "2"
  })
})

interface Ended {
  readonly job: string
  readonly at: string
  readonly outcome: string | null
  readonly fencing_token: string
}

layer(OwnServers.layer, { excludeTestServices: true, timeout: "60 seconds" })("five schedulers", (it) => {
  it.effect(
    "that are killed and frozen at random, with their database restarted, complete each occurrence once",
    () =>
      Effect.gen(function* () {
        const { postgres, rabbitMq } = yield* OwnServers
        const on = yield* groundOn(rabbitMq.url, yield* postgres.createDatabase(`jobs-${randomUUID()}`))
        const replicas = yield* Effect.forEach([0, 1, 2, 3, 4], (index) => replica(on, index))
        yield* Effect.forEach(replicas, (one) => one.waitForLine(/starting/, { deadline: "60 seconds" }))
        // they make the tables after they have said so
        yield* eventually(succeededCount(on), { deadline: "60 seconds" })
        let frozen = 0
        for (let round = 0; (yield* succeededCount(on)) < occurrences; round++) {
          assert.isBelow(round, 100, "rounds")
          const victim = yield* Random.nextIntBetween(0, 4)
          const what = round % 4
          if (what === 0) {
            yield* replicas[victim]?.kill("SIGKILL") ?? Effect.void
            yield* replicas[victim]?.exit ?? Effect.void
            replicas[victim] = yield* replica(on, victim)
          } else if (what === 1) {
            frozen++
            yield* replicas[victim]?.kill("SIGSTOP") ?? Effect.void
            // longer than its lease, and than another needs to take over
            yield* realSleep("5 seconds")
            yield* replicas[victim]?.kill("SIGCONT") ?? Effect.void
          } else if (what === 2 && round % 8 === 2) yield* postgres.restart
          yield* realSleep(yield* Random.nextIntBetween(500, 2000))
        }
        assert.isAbove(frozen, 1)
        // what is under way ends, and what was missed is caught up with
        yield* eventually(
          Effect.map(
            rows<{ behind: number }>(
              on,
              `SELECT count(*)::int AS behind FROM scheduled_jobs AS job
                 WHERE name ~ '^(tick|slow)-'
                 AND (decided_until < now() - interval '6 seconds' OR (SELECT count(*) FROM job_runs
                   WHERE job_runs.job = job.name AND is_open) > 2)`
            ),
            ([row]) => assert.strictEqual(row?.behind, 0)
          ),
          { deadline: "60 seconds" }
        )
        // one that was started just now hears nothing yet
        yield* Effect.forEach(replicas, (one) => one.waitForLine(/starting/, { deadline: "60 seconds" }))
        for (const one of replicas) yield* one.kill("SIGTERM")
        for (const one of replicas) assert.strictEqual(yield* one.exit, 0, one.stderr.join("\n"))
        const runs = yield* rows<Ended & Record<string, unknown>>(
          on,
          `SELECT job, (extract(epoch FROM scheduled_for) * 1000)::bigint::text AS at, outcome, fencing_token::text
             FROM job_runs WHERE NOT is_open ORDER BY job, scheduled_for`
        )
        checkRuns(runs, readFileSync(on.journal, "utf8").trim().split("\n"))
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: 240_000 }
  )
})

/** Each instant of each job is completed once: nothing is left out, and what is recorded is what its last holder did. */
const checkRuns = (runs: ReadonlyArray<Ended>, lines: ReadonlyArray<string>): void => {
  assert.isAtLeast(runs.length, occurrences)
  assert.deepStrictEqual(
    runs.filter(({ outcome }) => outcome !== "succeeded"),
    []
  )
  for (const [job, own] of Map.groupBy(runs, (run) => run.job)) {
    const times = own.map(({ at }) => Number(at))
    const first = times[0] ?? 0
    const apart = job.startsWith("slow") ? 4000 : 1000
    assert.deepStrictEqual(
      times,
      times.map((_, index) => first + index * apart),
      `${job} has left something out`
    )
  }
  const done = new Set(
    lines.map((line) =>
      line
        .split(" ")
        .filter((_, index) => index !== 2)
        .join(" ")
    )
  )
  const undone = runs.filter(({ at, fencing_token, job }) => !done.has(`${job} ${at} ${fencing_token}`))
  assert.deepStrictEqual(undone, [], "recorded, and not done by who recorded it")
  console.log(`${runs.length} occurrences, ${lines.length - runs.length} attempts that were not recorded`)
}
