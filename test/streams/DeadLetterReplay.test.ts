import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { type Fate, type ReplayOptions, replayAll, wouldFail } from "../../src/streams/DeadLetterReplay.ts"
import { DeadLetterTopics } from "../../src/streams/TopicWorker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { bytes, message, takeAll, text } from "../support/Messages.ts"
import { away, broken, depth, onStage, send, settled, start } from "../support/TopicStage.ts"

/** Two groups of one topic, one of which fails as long as it is told to. */
const groups = () => {
  const handled: Array<string> = []
  const state = { fails: true }
  const worker = (name: string, process: (input: Worker.JsonObject) => Effect.Effect<void, string>) =>
    Worker.make(name, { topic: "orders", retry: RetryPolicy.fixed({ maxRetries: 0 }) }, process)
  const saw = (name: string, { n }: Worker.JsonObject) => Effect.sync(() => void handled.push(`${name} ${n}`))
  return {
    handled,
    state,
    calm: worker("calm", (input) => saw("calm", input)),
    failing: worker("failing", (input) => (state.fails ? Effect.fail("not today") : saw("failing", input)))
  }
}

/** Replays all that waits in a queue of dead letters, or those that are wanted. */
const replay = (
  queue: string,
  options: Partial<ReplayOptions> & { readonly isWanted?: (letter: Delivery) => boolean } = {}
) =>
  Effect.gen(function* () {
    const { messages } = yield* Broker.use((broker) => broker.browse(queue))
    const letters = Stream.filter(messages, options.isWanted ?? (() => true))
    const given = { id: "r1", by: "ada", perSecond: undefined, dryRun: false, ...options }
    return yield* Stream.runCollect(replayAll(letters, given))
  }).pipe(Effect.scoped)

const outcomes = (fates: ReadonlyArray<Fate>) => fates.map((fate) => (fate._tag === "Left" ? fate.why : fate.to))

/** Dead letters 0, 1, 2 of the group that fails. */
const threeDeadLetters = Effect.gen(function* () {
  const stage = groups()
  yield* start(stage.calm)
  yield* start(stage.failing)
  for (const n of [0, 1, 2]) yield* send("orders", `{"n":${n}}`, { id: `id-${n}`, headers: { trace: `t${n}` } })
  assert.strictEqual(yield* depth("orders.dlq"), 3)
  stage.handled.length = 0
  stage.state.fails = false
  return stage
})

const paymentLetter = (source: string, id: string) =>
  message("payments.dlq", {
    id,
    body: bytes(id),
    headers: { "x-paystream-reason": "too_large", "x-paystream-source": source }
  })

const publish = (...messages: ReadonlyArray<ReturnType<typeof message>>) =>
  Broker.use((broker) => broker.publish(messages))

describe("A replay", () => {
  onStage("goes to the group that failed, and to no other", () =>
    Effect.gen(function* () {
      const { handled } = yield* threeDeadLetters
      const fates = yield* replay("orders.dlq", { isWanted: ({ id }) => id === "id-1/failing.dlq" })
      yield* settled
      assert.deepStrictEqual(outcomes(fates), ["group failing of topic orders"])
      assert.deepStrictEqual(handled, ["failing 1"])
      assert.strictEqual(yield* depth("orders.dlq"), 2)
      yield* replay("orders.dlq")
      yield* settled
      assert.deepStrictEqual(handled, ["failing 1", "failing 0", "failing 2"])
      assert.strictEqual(yield* depth("orders.dlq"), 0)
    })
  )

  onStage("goes to the queue of a topic of dead letters, whatever that is named", () =>
    Effect.gen(function* () {
      let fails = true
      const undertaker = Worker.make("undertaker", { topic: "graveyard", retry: RetryPolicy.none }, () =>
        fails ? Effect.fail("not today") : Effect.void
      )
      const { endings } = yield* Effect.provideService(
        start(undertaker),
        DeadLetterTopics,
        new Set(["graveyard", "graveyard.dlq"])
      )
      yield* send("graveyard", "1", { id: "id", headers: { "x-paystream-own-queue": "false" } })
      assert.strictEqual(yield* depth("graveyard.dlq"), 1)
      fails = false
      assert.deepStrictEqual(outcomes(yield* replay("graveyard.dlq")), ["topic graveyard"])
      yield* settled
      assert.deepStrictEqual(endings, ["dead_lettered", "done"])
      assert.strictEqual(yield* depth("graveyard.dlq"), 0)
    })
  )

  onStage("of what fails again leaves one dead letter, which says that it was replayed", () =>
    Effect.gen(function* () {
      const { state } = yield* threeDeadLetters
      state.fails = true
      yield* replay("orders.dlq", { isWanted: ({ id }) => id === "id-1/failing.dlq" })
      yield* settled
      const letters = yield* takeAll("orders.dlq")
      assert.deepStrictEqual(
        letters.map(({ headers, id }) => [id, headers["x-paystream-replay"], headers["x-paystream-replayed-by"]]),
        [
          ["id-0/failing.dlq", undefined, undefined],
          ["id-2/failing.dlq", undefined, undefined],
          ["id-1/failing.dlq.r1", "r1", "ada"]
        ]
      )
    })
  )

  onStage("of the payment worker goes to the queue that it came from, as it was", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      for (const queue of ["payments", "payments.dlq"]) yield* broker.ensureQueue(queue)
      yield* publish(paymentLetter("payments", "one"))
      assert.deepStrictEqual(outcomes(yield* replay("payments.dlq")), ["queue payments"])
      const [found] = yield* takeAll("payments")
      assert.strictEqual(text(found?.body ?? bytes("")), "one")
      assert.strictEqual(found?.id, "one")
      assert.deepStrictEqual(found?.headers, {
        "x-paystream-replay": "r1",
        "x-paystream-replayed-by": "ada",
        "x-paystream-replayed-at": "1970-01-01T00:00:00.000Z"
      })
    })
  )

  onStage("leaves what it cannot put back, says why, makes no queue, and goes on with the others", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      for (const queue of ["payments", "payments.dlq"]) yield* broker.ensureQueue(queue)
      const group = { "x-paystream-group": "gone", "x-paystream-reason": "rejected", "x-paystream-source": "orders" }
      yield* publish(
        message("payments.dlq", { id: "stranger" }),
        paymentLetter("paymnets", "typo"),
        message("payments.dlq", { headers: group, body: bytes('{"original":1,"error":"","worker":"","retries":0}') }),
        paymentLetter("payments", "good")
      )
      assert.deepStrictEqual(outcomes(yield* replay("payments.dlq")), [
        "not set aside by Paystream: it has no header x-paystream-reason",
        "there is no queue paymnets any more",
        "there is no group gone of topic orders any more",
        "queue payments"
      ])
      assert.strictEqual(yield* depth("payments.dlq"), 3)
      for (const name of ["paymnets", "orders.gone"]) assert.isTrue(Exit.isFailure(yield* Effect.exit(depth(name))))
    })
  )

  onStage("that is only to be tried says the same, and changes nothing", () =>
    Effect.gen(function* () {
      const { handled } = yield* threeDeadLetters
      const fates = yield* replay("orders.dlq", { dryRun: true })
      yield* settled
      assert.deepStrictEqual(outcomes(fates), Array(3).fill("group failing of topic orders"))
      assert.deepStrictEqual(handled, [])
      assert.strictEqual(yield* depth("orders.dlq"), 3)
    })
  )

  onStage("removes nothing that the broker has not confirmed", () =>
    Effect.gen(function* () {
      const { handled } = yield* threeDeadLetters
      const unconfirmed = yield* broken(() => ({ deliverLater: () => Effect.fail(away) }))
      const exit = yield* Effect.exit(Effect.provideService(replay("orders.dlq"), Broker, unconfirmed))
      assert.isTrue(Exit.isFailure(exit))
      yield* settled
      assert.deepStrictEqual(handled, [])
      assert.strictEqual(yield* depth("orders.dlq"), 3)
    })
  )

  onStage("that dies between confirming and removing delivers twice, and loses nothing", () =>
    Effect.gen(function* () {
      const { handled } = yield* threeDeadLetters
      const dying = yield* broken(() => ({ settle: () => Effect.die("killed") }))
      const onlyOne = { isWanted: ({ id }: Delivery) => id === "id-1/failing.dlq" }
      yield* Effect.exit(Effect.provideService(replay("orders.dlq", onlyOne), Broker, dying))
      assert.strictEqual(yield* depth("orders.dlq"), 3)
      yield* replay("orders.dlq", onlyOne)
      yield* settled
      assert.deepStrictEqual(handled, ["failing 1", "failing 1"])
      assert.strictEqual(yield* depth("orders.dlq"), 2)
    })
  )

  onStage("keeps to its rate", () =>
    Effect.gen(function* () {
      const broker = yield* Broker
      for (const queue of ["payments", "payments.dlq"]) yield* broker.ensureQueue(queue)
      yield* publish(...Array.from({ length: 30 }, (_, n) => paymentLetter("payments", `${n}`)))
      yield* Effect.forkScoped(replay("payments.dlq", { perSecond: 10 }), { startImmediately: true })
      yield* Effect.andThen(TestClock.adjust("1 second"), settled)
      const afterOne = yield* depth("payments")
      assert.isTrue(afterOne >= 9 && afterOne <= 11, `${afterOne} in the first second`)
      yield* Effect.andThen(TestClock.adjust("3 seconds"), settled)
      assert.strictEqual(yield* depth("payments"), 30)
    })
  )

  onStage("can say before what would still not decode", () =>
    Effect.gen(function* () {
      const options = { topic: "orders", input: Schema.Struct({ n: Schema.Int }) }
      const strict = Worker.make("strict", options, () => Effect.void)
      const problem = (body: string) => wouldFail(strict, message("", { body: bytes(body) }))
      assert.isUndefined(yield* problem('{"n":1}'))
      assert.match((yield* problem('{"n":"one"}')) ?? "", /n/)
      assert.strictEqual(yield* problem("{"), "the body is not JSON")
    })
  )
})
