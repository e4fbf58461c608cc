import { assert, describe } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Stream } from "effect"
import { Broker, type Delivery } from "../../src/domain/ports/Broker.ts"
import { CrashMarks } from "../../src/domain/ports/CrashMarks.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as MemoryCrashMarks from "../../src/layers/memory/MemoryCrashMarks.ts"
import * as Suspects from "../../src/streams/Suspects.ts"
import * as Worker from "../../src/streams/Worker.ts"
import {
  broken,
  deadLetter,
  deadLetters,
  depth,
  elapse,
  logs,
  onStage,
  send,
  settled,
  start,
  stop
} from "../support/TopicStage.ts"

const options: Suspects.SuspectOptions = { maxCrashes: 3, patience: Duration.minutes(1) }

/** A broker whose deliveries with this id come as if they had come before. */
const suspecting = (...ids: ReadonlyArray<string>) =>
  broken((broker) => ({
    deliveries: (subscription, options) =>
      Stream.map(
        broker.deliveries(subscription, options),
        (delivery): Delivery => (ids.includes(delivery.id ?? "") ? { ...delivery, attempt: 2 } : delivery)
      )
  }))

interface Watched {
  readonly events: Array<string>
  readonly gates: Map<string, Deferred.Deferred<void>>
}

/** A worker that tells when it begins and ends each input, which it ends when told. */
const watched = (name: string, { events, gates }: Watched) =>
  Worker.make(name, { topic: name, concurrency: 4 }, (input) =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      gates.set(String(input), gate)
      events.push(`${input} begins`)
      yield* Deferred.await(gate)
      events.push(`${input} ends`)
    })
  )

const end = ({ gates }: Watched, input: string) =>
  Effect.suspend(() => {
    const gate = gates.get(input)
    return gate === undefined ? Effect.die(`${input} has not begun`) : Deferred.succeed(gate, undefined)
  }).pipe(Effect.andThen(settled))

const newWatched = (): Watched => ({ events: [], gates: new Map() })

/** Runs a test with marks of its own, given to it too. */
const withMarks = <A, E, R>(
  test: (marks: CrashMarks["Service"]) => Effect.Effect<A, E, R>,
  change: (marks: CrashMarks["Service"]) => CrashMarks["Service"] = (marks) => marks
) =>
  Effect.gen(function* () {
    const marks = change(yield* CrashMarks)
    return yield* Effect.provideService(test(marks), Suspects.Suspects, Suspects.make(options, marks))
  }).pipe(Effect.provide(MemoryCrashMarks.layer))

const suspectOf = (id: string) => ({ consumer: "a.a", identity: JSON.stringify([id, 0]) })
const suspect = suspectOf("s")
const other = suspectOf("t")

describe("A message that came again", () => {
  onStage("is handled beside the others, with a mark, when it had none", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        const own = newWatched()
        yield* Effect.provideService(start(watched("a", own)), Broker, yield* suspecting("s", "t"))
        yield* send("a", '"first"')
        yield* send("a", '"s"', { id: "s" })
        yield* send("a", '"t"', { id: "t" })
        assert.deepStrictEqual(own.events, ["first begins", "s begins", "t begins"])
        yield* elapse("1 hour")
        assert.strictEqual(yield* marks.begun(suspect), 1)
        yield* end(own, "s")
        assert.strictEqual(yield* marks.begun(suspect), 0)
      })
    )
  )

  onStage("is handled alone in the process if it was begun at a crash, and the others of all workers after it", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        yield* marks.begin(suspect)
        const own = newWatched()
        const broker = yield* suspecting("s")
        yield* Effect.provideService(start(watched("a", own)), Broker, broker)
        yield* Effect.provideService(start(watched("b", own)), Broker, broker)
        yield* send("a", '"first"')
        yield* send("a", '"s"', { id: "s" })
        yield* send("b", '"other"')
        assert.deepStrictEqual(own.events, ["first begins"])
        yield* end(own, "first")
        assert.deepStrictEqual(own.events, ["first begins", "first ends", "s begins"])
        yield* end(own, "s")
        yield* end(own, "other")
        assert.deepStrictEqual(own.events.slice(3), ["s ends", "other begins", "other ends"])
      })
    )
  )

  onStage("has a mark while it is handled, and none after, however it ended", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        let seen = -1
        let runs = 0
        const worker = Worker.make("a", { topic: "a" }, () =>
          Effect.gen(function* () {
            seen = yield* marks.begin(suspect)
            if (runs++ === 0) return yield* Effect.fail("no")
          })
        )
        yield* Effect.provideService(start(worker), Broker, yield* suspecting("s"))
        yield* send("a", "1", { id: "s" })
        // begun by the worker before
        assert.strictEqual(seen, 1)
        assert.strictEqual(yield* marks.begin(suspect), 0)
      })
    )
  )

  for (const crashes of [2, 3, 4]) {
    onStage(`is ${crashes < 3 ? "handled" : "dead-lettered as crashed"} after ${crashes} deaths with it alone`, () =>
      withMarks((marks) =>
        Effect.gen(function* () {
          for (let n = 0; n < 1 + crashes; n++) yield* marks.begin(suspect)
          let runs = 0
          let hooks = 0
          const told: Array<number> = []
          const worker = Worker.make(
            "a",
            { topic: "a" },
            Effect.succeed({
              process: () => Effect.sync(() => void runs++),
              onError: () => Effect.sync(() => void hooks++),
              onCrashed: (_, times) => Effect.sync(() => void told.push(times))
            })
          )
          const { endings } = yield* Effect.provideService(start(worker), Broker, yield* suspecting("s"))
          yield* send("a", "1", { id: "s" })
          yield* send("a", "1", { id: "neighbour" })
          if (crashes < 3) {
            assert.deepStrictEqual([endings, runs], [["done", "done"], 2])
            assert.strictEqual((yield* deadLetters("a")).length, 0)
          } else {
            assert.deepStrictEqual([endings, runs, hooks], [["dead_lettered", "done"], 1, 0])
            const letter = yield* deadLetter("a")
            assert.strictEqual(letter.headers["x-paystream-reason"], "crashed")
            assert.include(String(letter.headers["x-paystream-error"]), `${crashes} times`)
            // One that has killed the process in its hook as well is only set aside.
            assert.deepStrictEqual(told, crashes === 3 ? [3] : [])
          }
          assert.strictEqual(yield* marks.begun(suspect), 0)
        })
      )
    )
  }

  onStage("is never blamed for a stop: the mark is gone before it ends, or is killed", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        const own = newWatched()
        yield* marks.begin(suspect)
        yield* marks.begin(other)
        const { fiber } = yield* Effect.provideService(start(watched("a", own)), Broker, yield* suspecting("s", "t"))
        yield* send("a", '"s"', { id: "s" })
        yield* send("a", '"t"', { id: "t" })
        assert.strictEqual(yield* marks.begun(other), 1)
        const stopping = yield* Effect.forkChild(stop(fiber), { startImmediately: true })
        yield* settled
        assert.strictEqual(yield* marks.begun(suspect), 0)
        yield* end(own, "s")
        yield* Fiber.join(stopping)
        // what waited for its turn went back
        assert.deepStrictEqual([own.events, yield* depth("a.a")], [["s begins", "s ends"], 1])
      })
    )
  )

  onStage("is cleared when it is interrupted", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        const { fiber } = yield* Effect.provideService(
          start(watched("a", newWatched())),
          Broker,
          yield* suspecting("s")
        )
        yield* send("a", '"s"', { id: "s" })
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* marks.begin(suspect), 0)
      })
    )
  )

  onStage("lets the others in, cleared, when it takes longer than the patience", () =>
    withMarks((marks) =>
      Effect.gen(function* () {
        const own = newWatched()
        yield* marks.begin(suspect)
        yield* marks.begin(other)
        yield* Effect.provideService(start(watched("a", own)), Broker, yield* suspecting("s", "t"))
        yield* send("a", '"s"', { id: "s" })
        yield* send("a", '"one"')
        yield* send("a", '"t"', { id: "t" })
        yield* elapse("59 seconds")
        assert.deepStrictEqual(own.events, ["s begins"])
        yield* elapse("1 second")
        assert.strictEqual(yield* marks.begin(suspect), 0)
        // the other suspect waits for quiet in vain, and then goes beside
        yield* elapse("1 minute")
        assert.sameMembers(own.events, ["s begins", "one begins", "t begins"])
      })
    )
  )

  const unavailable = {
    "is away": Effect.fail(new StoreError({ reason: new StoreAway({ detail: "gone", code: "x" }) })),
    "does not answer": Effect.never
  }
  for (const [name, begin] of Object.entries(unavailable)) {
    onStage(`is handled without a mark while the database ${name}, which is said once`, () =>
      withMarks(
        () =>
          Effect.gen(function* () {
            const { endings } = yield* Effect.provideService(
              start(Worker.make("a", { topic: "a" }, () => Effect.void)),
              Broker,
              yield* suspecting("s", "t", "u")
            )
            for (const id of ["s", "t", "u"]) yield* send("a", "1", { id })
            yield* elapse("1 minute")
            assert.deepStrictEqual(endings, ["done", "done", "done"])
            assert.strictEqual(logs.filter((line) => line.includes("crash marks cannot be kept")).length, 1)
          }),
        (marks) => ({ ...marks, begun: () => begin, begin: () => begin })
      )
    )
  }
})
