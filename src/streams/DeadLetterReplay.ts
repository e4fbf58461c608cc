/**
 * Dead letters put back: read → whom it failed found → delivered to it alone → removed.
 *
 * ## Guarantees
 * - A dead letter is removed (or marked, where its broker removes no single one) only after the broker has confirmed its original: a crash between the two delivers it
 *   twice, and loses nothing.
 * - What cannot be put back (a stranger's message, a queue or a group that is gone) stays where it is; nothing is made.
 *
 * ## Assumptions
 * - Whoever gets an original again tolerates repeats: the original's id is the same, and the header
 *   `x-paystream-replay` tells one replay from the next.
 */
import { Clock, Duration, Effect, Result, Stream } from "effect"
import { isoOf } from "../domain/Instant.ts"
import {
  Broker,
  type BrokerError,
  type Delivery,
  type MessageContent,
  type Subscription
} from "../domain/ports/Broker.ts"
import { type DeadLetter, type Origin, readDeadLetter } from "../domain/ReadDeadLetter.ts"
import { idsOf, originName, type Replay, replayed } from "../domain/Replay.ts"
import { shownId } from "./MessageIds.ts"
import type { Any } from "./Worker.ts"
import { codecOf, readOriginal } from "./WorkerMessages.ts"

/** What became of a dead letter: put back (or could be), or left where it is. */
export type Fate =
  | { readonly _tag: "PutBack"; readonly id: string; readonly to: string; readonly letter: DeadLetter }
  | { readonly _tag: "Left"; readonly id: string; readonly why: string }

export interface ReplayOptions extends Replay {
  /** At most so many in a second; as fast as it goes without. */
  readonly perSecond: number | undefined
  /** Finds everything out, and changes nothing. */
  readonly dryRun: boolean
}

/** So many wait for their confirms at the same time, with their bodies in memory. */
const concurrency = 8

/** The fate of each dead letter, as it is known. */
export const replayAll = <E, R>(letters: Stream.Stream<Delivery, E, R>, options: ReplayOptions) =>
  Stream.suspend(() => {
    const find = finding()
    return letters.pipe(
      atMost(options.perSecond),
      Stream.mapEffect((letter) => replayOne(find, letter, options), { concurrency, unordered: true })
    )
  })

const atMost =
  (perSecond: number | undefined) =>
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    perSecond === undefined
      ? self
      : Stream.throttle(Stream.rechunk(self, 1), {
          cost: () => 1,
          units: 1,
          duration: Duration.millis(1000 / perSecond),
          strategy: "shape"
        })

const replayOne = Effect.fnUntraced(function* (find: Finding, delivery: Delivery, options: ReplayOptions) {
  const id = idsOf(delivery)[0]
  const left = (why: string): Fate => ({ _tag: "Left", id, why })
  const read = readDeadLetter(delivery)
  if (Result.isFailure(read)) return left(read.failure)
  const letter = read.success
  const to = originName(letter.origin)
  const isBack = yield* putBack(find, delivery, letter, options)
  return isBack ? ({ _tag: "PutBack", id, to, letter } satisfies Fate) : left(`there is no ${to} any more`)
})

/** Whether it could be: nothing else than a destination that is gone keeps it from that. */
const putBack = (find: Finding, delivery: Delivery, letter: DeadLetter, options: ReplayOptions) =>
  Effect.gen(function* () {
    const broker = yield* Broker
    const subscription = yield* find(letter.origin)
    if (options.dryRun) return true
    const at = isoOf(yield* Clock.currentTimeMillis)
    const message = replayed(letter, { ...options, at })
    yield* broker.deliverLater(subscription, [{ ...message, delay: Duration.zero }])
    // Confirmed by now: a crash before this line leaves the dead letter, and its original is delivered once more.
    yield* broker.settle([{ delivery, outcome: "done", replay: { id: options.id, by: options.by } }])
    yield* logReplayed(letter, options)
    return true
  }).pipe(Effect.catchReason("BrokerError", "Unroutable", () => Effect.succeed(false)))

const logReplayed = (letter: DeadLetter, { by, id }: Replay) =>
  Effect.annotateLogs(Effect.logDebug("put back"), {
    messageId: shownId(letter.original.id),
    to: shownId(originName(letter.origin)),
    replay: id,
    by
  })

/** Finds the subscription of whom it failed; asked once for each. */
const finding = () => {
  const found = new Map<string, Subscription>()
  return Effect.fnUntraced(function* (origin: Origin): Effect.fn.Return<Subscription, BrokerError, Broker> {
    const name = originName(origin)
    const subscription = found.get(name) ?? (yield* lookUp(origin))
    found.set(name, subscription)
    return subscription
  })
}

type Finding = ReturnType<typeof finding>

const lookUp = Effect.fnUntraced(function* (origin: Origin) {
  const broker = yield* Broker
  if (origin._tag === "Group") return yield* broker.lookUp(origin.topic, origin.group)
  yield* broker.depth(origin.queue)
  return { _tag: "Queue", name: origin.queue } as const
})

/** Why an original would not even decode today, by the worker that it failed; `undefined` if it would. */
export const wouldFail = (worker: Any, original: MessageContent): Effect.Effect<string | undefined> =>
  codecOf(worker)
    .decode(readOriginal({ ...original, attempt: 1, receipt: undefined }))
    .pipe(Effect.match({ onSuccess: () => undefined, onFailure: (problem) => problem }))
