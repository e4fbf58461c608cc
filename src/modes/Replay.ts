/** `dlq replay`: originals put back to whom they failed. What was done is said, however it ends. */
import { Console, Effect, Option, Schedule, Stream } from "effect"
import { printable } from "../domain/Printable.ts"
import { type Fate, replayAll, wouldFail } from "../streams/DeadLetterReplay.ts"
import type { Any } from "../streams/Worker.ts"
import * as Answer from "./Answer.ts"
import { askedBy } from "./CommandServices.ts"
import {
  concluding,
  type LookOptions,
  look,
  NotAll,
  notFound,
  searchedByDefault,
  selecting,
  withBroker
} from "./DeadLetters.ts"
import { registered } from "./RegisteredWorkers.ts"
import { WrongUsage } from "./WrongUsage.ts"

export interface ReplayModeOptions extends LookOptions {
  readonly ids: ReadonlyArray<string>
  readonly all: boolean
  readonly dryRun: boolean
  /** In messages per second. */
  readonly rate: Option.Option<number>
  /** Who asks; the user of the system by default. */
  readonly by: Option.Option<string>
  /** The module whose workers say what would still not decode. */
  readonly workers: Option.Option<string>
}

const usageProblem = ({ all, dryRun, ids, workers }: ReplayModeOptions): string | undefined => {
  if (all === ids.length > 0) return "say which to put back: --id=ID, repeatable, or --all"
  return Option.isSome(workers) && !dryRun ? "--workers goes with --dry-run: it says what would fail again" : undefined
}

/** All of them, unless they have to stay: the broker keeps those from others meanwhile. */
const limitOf = ({ all, dryRun, limit }: ReplayModeOptions): number =>
  Option.getOrElse(limit, () => (all && !dryRun ? Number.POSITIVE_INFINITY : searchedByDefault))

const newReplay = Effect.fnUntraced(function* (by: Option.Option<string>) {
  const id = yield* Effect.sync(() => crypto.randomUUID())
  return { id, by: yield* askedBy(by) }
})

/** What has been done, as it is done. */
const counting = () => {
  const putBack = new Map<string, number>()
  let left = 0
  const total = (): number => [...putBack.values()].reduce((sum, count) => sum + count, 0)
  return {
    count: (fate: Fate): void => {
      if (fate._tag === "Left") left++
      else putBack.set(fate.to, (putBack.get(fate.to) ?? 0) + 1)
    },
    left: () => left,
    total,
    sentence: (verb: string): string => {
      const parts = [...putBack].map(([to, count]) => `${count} to ${printable(to)}`)
      return [`${total()} ${verb}`, ...(parts.length === 0 ? [] : [parts.join(", ")])].join(": ")
    }
  }
}

type Totals = ReturnType<typeof counting>

// Told one by one

/** Says of an original whether its worker would decode it; nothing of what no worker is known for. */
const preview = (workers: ReadonlyArray<Any>, fate: Fate): Effect.Effect<string | undefined> => {
  if (fate._tag === "Left" || workers.length === 0) return Effect.undefined
  const { group, original, source } = fate.letter
  const worker = workers.find((one) => one.topic === source && one.groupId === group)
  if (worker === undefined) return Effect.succeed("none of the workers is the one that failed")
  return Effect.map(wouldFail(worker, original), (problem) =>
    problem === undefined ? "would decode" : `would fail again: ${problem}`
  )
}

const tellOne = Effect.fnUntraced(function* (options: ReplayModeOptions, workers: ReadonlyArray<Any>, fate: Fate) {
  const said = yield* preview(workers, fate)
  if (options.json) {
    const outcome = fate._tag === "Left" ? "left" : options.dryRun ? "would be put back" : "put back"
    const where = fate._tag === "Left" ? { to: undefined, why: fate.why } : { to: fate.to, why: undefined }
    yield* Answer.line({ id: fate.id, outcome, ...where, preview: said })
  } else if (fate._tag === "Left") yield* Console.log(`${printable(fate.id)} stays: ${printable(fate.why)}`)
  else if (options.dryRun) {
    const ending = said === undefined ? "" : `; it ${printable(said)}`
    yield* Console.log(`${printable(fate.id)} would go to ${printable(fate.to)}${ending}`)
  }
})

const progress = (totals: Totals, wanted: number) =>
  Effect.suspend(() => Console.error(`${totals.total()} put back of ${wanted}`)).pipe(
    Effect.delay("2 seconds"),
    Effect.repeat(Schedule.forever)
  )

// The run

const run = Effect.fnUntraced(function* (options: ReplayModeOptions, workers: ReadonlyArray<Any>) {
  const replay = yield* newReplay(options.by)
  const looked = yield* look(options.name, limitOf(options))
  const { isWanted, missing } = selecting(options.ids)
  const totals = counting()
  const { dryRun } = options
  const perSecond = Option.getOrUndefined(options.rate)
  const facts = { queue: options.name, replay: replay.id, by: replay.by }
  if (!dryRun) yield* Effect.annotateLogs(Effect.logInfo("replay begins"), facts)
  const conclude = Effect.suspend(() => {
    const sentence = totals.sentence(dryRun ? "would be put back" : "put back")
    const logged = Effect.annotateLogs(Effect.logInfo(`replay ends: ${sentence}`), facts)
    return Effect.andThen(dryRun ? Effect.void : logged, options.json ? Effect.void : Console.log(sentence))
  })
  const wanted = options.all ? looked.messages : Stream.filter(looked.messages, isWanted)
  yield* replayAll(wanted, { ...replay, perSecond, dryRun }).pipe(
    Stream.tap((fate) => Effect.sync(() => totals.count(fate))),
    Stream.runForEach((fate) => tellOne(options, workers, fate)),
    Effect.raceFirst(progress(totals, looked.wanted)),
    // A broker that goes away in the middle does not undo what was done.
    Effect.ensuring(conclude)
  )
  yield* concluding(looked, `after ${looked.seen.count} of ${looked.wanted}: ${totals.sentence("put back")}`)
  const problems = [
    ...(totals.left() === 0 ? [] : [`${totals.left()} could not be put back and stay where they were`]),
    ...(missing().length === 0 ? [] : [notFound(missing(), looked.seen.count)])
  ]
  if (problems.length > 0) return yield* new NotAll({ detail: problems.join("; ") })
})

/** Puts back those asked for, or says what it would do. */
export const replay = Effect.fnUntraced(function* (options: ReplayModeOptions) {
  const problem = usageProblem(options)
  if (problem !== undefined) return yield* new WrongUsage({ detail: problem })
  const workers = Option.isSome(options.workers) ? (yield* registered(options.workers.value, [])).workers : []
  yield* withBroker(run(options, workers), { changes: !options.dryRun })
})
