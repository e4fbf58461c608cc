/** A demonstration's run: its traffic, a line that shows how it goes, and the proof at the end of a counted one. */
import { Console, Effect, Fiber, Option, Ref, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as BatchReport from "../domain/BatchReport.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { unlessStopped } from "../streams/Shutdown.ts"
import * as DemoBooks from "./DemoBooks.ts"
import { counted, intentsOf, type Published, steadily, type TrafficOptions } from "./DemoTraffic.ts"
import { bar, liveLine } from "./LiveLine.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

/** What the payment worker has settled so far. */
export type Totals = Ref.Ref<BatchReport.BatchReport>

/** Not every payment is in the table exactly once. */
export class NotExact extends Schema.TaggedError<NotExact>()("NotExact", {
  published: Schema.Int,
  rows: Schema.Int,
  distinct: Schema.Int
}) {
  override get message(): string {
    return `${this.published} published, but ${this.rows} rows of ${this.distinct} different payments are stored`
  }
}

/** Payments and the sandbox do not agree on what was charged, or some payments have not ended. */
export class BooksDiffer extends Schema.TaggedError<BooksDiffer>()("BooksDiffer", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** All that is shown. */
interface Shown extends BatchReport.BatchReport, DemoBooks.IntentCounts {
  readonly settled: number
}

const some = (count: number, what: string): string => (count === 0 ? "" : `, ${count} ${what}`)

/** One line about it; `count` is how many messages there will be, if that is known. */
const lineOf = (count: Option.Option<number>) => (shown: Shown, perSecond: number) => {
  const { deadLettered, duplicates, failed, inDoubt, open, paid, settled, stored } = shown
  const share = (all: number) => (BatchReport.settled(shown) + paid + failed) / (all + intentsOf(all))
  const progress = Option.match(count, { onNone: () => "", onSome: (all) => bar(share(all)) })
  const messages = `${stored} stored${some(duplicates, "duplicates")}${some(deadLettered, "dead-lettered")}`
  const cards = `cards ${paid} paid, ${failed} failed${some(open - inDoubt, "under way")}${some(inDoubt, "in doubt")}`
  const pix = Option.isSome(count) ? "" : `; PIX ${settled} settled`
  return `${progress}${messages}, ${perSecond}/s; ${cards}${pix}`
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

const verifyIntents = Effect.fnUntraced(function* (run: string, count: number) {
  const { failed, open, paid } = yield* DemoBooks.intentsOf(run)
  const { charged, recorded, wrong } = yield* DemoBooks.booksOf(run)
  const ended = `${paid} paid and ${failed} failed of ${count} asked for through the API`
  const money = `${recorded} BRL recorded, ${charged} BRL charged`
  if (open > 0 || paid + failed !== count) return yield* new BooksDiffer({ detail: `${ended}, ${open} still open` })
  if (wrong > 0 || charged !== recorded) return yield* new BooksDiffer({ detail: `${money}; ${wrong} payments differ` })
  yield* Console.log(`${ended}; ${money}: none open, none charged twice`)
})

const verify = Effect.fnUntraced(function* (run: string, count: number, published: Published) {
  const { distinct, rows } = yield* DemoBooks.storedOf(run)
  if (rows !== count || distinct !== count)
    return yield* new NotExact({ published: published.messages, rows, distinct })
  yield* verifyIntents(run, published.intents)
  yield* Console.log(`${count} published, ${rows} stored: none lost, none doubled`)
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
  const showing = yield* Effect.forkScoped(liveLine(current, { done: BatchReport.settled, lineOf: lineOf(count) }))
  const hide = Fiber.interrupt(showing)
  if (Option.isNone(count)) return yield* Effect.ensuring(unlessStopped(steadily(traffic)), hide)
  const published = yield* Effect.ensuring(runCounted(traffic, count.value, totals), hide)
  yield* verify(traffic.run, count.value, published)
})
