/** What every store of weekly reports promises. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Duration, Effect, Exit, type Layer } from "effect"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { WeeklyReports } from "../../src/domain/ports/WeeklyReports.ts"
import { reportOf, weekBefore } from "../../src/domain/WeeklyReport.ts"
import { reportGenerator } from "../../src/streams/ReportGenerator.ts"
import { figures } from "../support/WeeklyFigures.ts"

/** Each test has a week of its own. */
const weekOf = (instant: string) => weekBefore(Date.parse(instant))

const eventsAbout = (from: string) =>
  Outbox.use((outbox) =>
    Effect.gen(function* () {
      const relay = yield* outbox.enrol(Duration.minutes(1))
      const slots = Array.from({ length: 64 }, (_, slot) => slot)
      yield* outbox.acquire(relay, slots)
      const rules = { maxAttempts: 5, dead: "hold" } as const
      const { events } = yield* outbox.take({ relay, slots, limit: 100, limitPerSlot: 100, rules })
      yield* outbox.leave(relay)
      return events.filter(({ payload }) => JSON.parse(payload).from === from)
    })
  )

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<WeeklyReports | Outbox, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Weekly reports (${name})`, (it) => {
    it.effect("are kept once for each week: the first one stays, to the last digit", () =>
      Effect.gen(function* () {
        const [outbox, reports] = [yield* Outbox, yield* WeeklyReports]
        const week = weekOf("2026-01-05T08:00:00Z")
        assert.isUndefined(yield* reports.find(week))
        const report = reportOf(week, figures)
        assert.isTrue(yield* outbox.transaction(reports.keep(week, report)))
        assert.isFalse(yield* outbox.transaction(reports.keep(week, { ...report, id: "another" })))
        assert.deepStrictEqual(yield* reports.find(week), report)
        assert.isUndefined(yield* reports.find(weekOf("2026-01-12T08:00:00Z")))
      })
    )

    it.effect("are not kept by a transaction that fails", () =>
      Effect.gen(function* () {
        const [outbox, reports] = [yield* Outbox, yield* WeeklyReports]
        const week = weekOf("2026-02-02T08:00:00Z")
        const failing = Effect.andThen(reports.keep(week, reportOf(week, figures)), Effect.fail("no"))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(outbox.transaction(failing))))
        assert.isUndefined(yield* reports.find(week))
      })
    )

    it.effect("are made and published once by the job, however many run at the same time or later", () =>
      Effect.gen(function* () {
        const given = yield* Effect.all(
          Array.from(
            { length: 5 },
            () => reportGenerator.run as Effect.Effect<unknown, unknown, WeeklyReports | Outbox>
          ),
          { concurrency: "unbounded" }
        )
        given.push(yield* reportGenerator.run)
        const [first] = given as ReadonlyArray<ReturnType<typeof reportOf>>
        for (const other of given) assert.deepStrictEqual(other, first)
        const events = yield* eventsAbout(first?.from ?? "")
        assert.deepStrictEqual(
          events.map(({ headers, topic }) => [topic, headers]),
          [["financial.reports.weekly", { "x-paystream-exchange": "financial.events" }]]
        )
        assert.deepStrictEqual(JSON.parse(events[0]?.payload ?? ""), first)
      })
    )
  })
