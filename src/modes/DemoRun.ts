/** A demonstration's run: its traffic, a line that shows how it goes, and the proof at the end of a counted one. */
import { Console, Effect, Fiber, Option, Ref } from "effect"
import { SqlClient } from "effect/sql"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { unlessStopped } from "../streams/Shutdown.ts"
import * as DemoBooks from "./DemoBooks.ts"
import { proofOf } from "./DemoProof.ts"
import { counted, intentsOf, type Published, steadily, type TrafficOptions } from "./DemoTraffic.ts"
import { liveLine } from "./LiveLine.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

/** What the payment worker has settled so far. */
export type Totals = Ref.Ref<BatchReport.BatchReport>

/** All that is shown. */
export interface Shown extends BatchReport.BatchReport, DemoBooks.IntentCounts {
  readonly settled: number
}

const some = (count: number, what: string): string => (count === 0 ? "" : `, ${count} ${what}`)

/** How much of a run of `count` messages has come to its end. */
const shareOf = (count: number) => (shown: Shown) =>
  (BatchReport.settled(shown) + shown.paid + shown.failed) / (count + intentsOf(count))

/** One line about it; PIX payments are a part of an endless run alone. */
export const lineOf = (count: Option.Option<number>) => (shown: Shown, perSecond: number) => {
  const { deadLettered, duplicates, failed, inDoubt, open, paid, settled, stored } = shown
  const received = BatchReport.taken(shown)
  const messages = `${received} received, ${stored} stored, ${duplicates} duplicates, ${deadLettered} dead-lettered`
  const cards = `cards ${paid} paid, ${failed} failed${some(open - inDoubt, "under way")}${some(inDoubt, "in doubt")}`
  const pix = Option.isSome(count) ? "" : `; PIX ${settled} settled`
  return `${messages}, ${perSecond}/s; ${cards}${pix}`
}

/** Looks at everything; a database that is away shows what was seen last. */
const lookerOf = Effect.fnUntraced(function* (run: string, totals: Totals) {
  const sql = yield* SqlClient.SqlClient
  let seen = { paid: 0, failed: 0, inDoubt: 0, open: 0, settled: 0 }
  const look = Effect.all([DemoBooks.intentsOf(run), DemoBooks.settledOf(run)]).pipe(
    Effect.tap(([intents, settled]) =>
      Effect.sync(() => {
        seen = { ...intents, settled }
      })
    ),
    Effect.ignore,
    Effect.provideService(SqlClient.SqlClient, sql)
  )
  return { current: Effect.map(Effect.andThen(look, Ref.get(totals)), (report): Shown => ({ ...report, ...seen })) }
})

/** So long without anything moving, and what is missing will not come. */
const stalledAfter = 500
const pollInterval = "20 millis"

/** Waits until all that was published has come to its end, or nothing moves any more. */
const untilEnded = Effect.fnUntraced(function* (run: string, published: Published, totals: Totals) {
  let before = ""
  let unchanged = 0
  while (unchanged < stalledAfter) {
    const settled = BatchReport.settled(yield* Ref.get(totals))
    const { failed, open, paid } = yield* DemoBooks.intentsOf(run)
    // Messages of an earlier run may be among those settled: the table has the last word.
    const areStored = settled >= published.messages && (yield* DemoBooks.storedOf(run)).distinct >= published.messages
    if (areStored && open === 0 && paid + failed >= published.intents) return
    const now = [settled, paid, failed, open].join()
    unchanged = now === before ? unchanged + 1 : 0
    before = now
    yield* Effect.sleep(pollInterval)
  }
})

const verify = Effect.fnUntraced(function* (run: string, count: number, published: Published) {
  const found = {
    published,
    stored: yield* DemoBooks.storedOf(run),
    inexact: yield* DemoBooks.inexactOf(run, count),
    intents: yield* DemoBooks.intentsOf(run),
    books: yield* DemoBooks.booksOf(run)
  }
  yield* Effect.forEach(yield* proofOf(count, found), (line) => Console.log(line), { discard: true })
})

const runCounted = Effect.fnUntraced(function* (traffic: TrafficOptions, count: number, totals: Totals) {
  const confirmed = yield* Ref.make(0)
  const work = Effect.flatMap(counted(traffic, count, confirmed), (published) =>
    Effect.as(untilEnded(traffic.run, published, totals), published)
  )
  const published = yield* unlessStopped(work)
  return published ?? (yield* new StoppedEarly({ detail: `after ${yield* Ref.get(confirmed)} of ${count}` }))
})

/** Runs it to its end. */
export const run = Effect.fnUntraced(function* (traffic: TrafficOptions, count: Option.Option<number>, totals: Totals) {
  const { ensureQueue } = yield* Broker
  yield* ensureQueue(traffic.queue)
  const { current } = yield* lookerOf(traffic.run, totals)
  const share = Option.match(count, { onNone: () => ({}), onSome: (all) => ({ share: shareOf(all) }) })
  const shown = { done: BatchReport.settled, lineOf: lineOf(count), ...share }
  const showing = yield* Effect.forkScoped(liveLine(current, shown))
  const hide = Fiber.interrupt(showing)
  if (Option.isNone(count)) return yield* Effect.ensuring(unlessStopped(steadily(traffic)), hide)
  const published = yield* Effect.ensuring(runCounted(traffic, count.value, totals), hide)
  yield* verify(traffic.run, count.value, published)
})
