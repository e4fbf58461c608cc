/** `Worker.run`: workers in a program of one's own. */
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { Stores, Worker } from "paystream"
import { Broker, BrokerError, BrokerRefused } from "../../src/domain/ports/Broker.ts"
import { broken, depth, elapse, json, onStage, seen, send, settled, watch } from "../support/TopicStage.ts"

/** Echoes its input once the gate is open. */
const echo = (gate: Deferred.Deferred<void>) =>
  Worker.make("echo", { topic: "in", outputTopic: "out" }, (input) => Effect.as(Deferred.await(gate), input))

const running = <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Effect.tap(Effect.forkScoped(run, { startImmediately: true }), () => settled)

describe("Workers in a program of one's own", () => {
  onStage("run side by side, and finish what they have begun when the program is interrupted", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const gate = yield* Deferred.make<void>()
      const other = Worker.make("other", { topic: "elsewhere" }, () => Effect.void)
      const program = yield* running(Worker.run([echo(gate), other]))
      yield* send("elsewhere", "1")
      for (const body of ["1", "2"]) yield* send("in", body)
      const stopping = yield* running(Fiber.interrupt(program))
      assert.isUndefined(stopping.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual((yield* seen("out")).map(json), [1])
      assert.deepStrictEqual([yield* depth("in.echo"), yield* depth("elsewhere.other")], [1, 0])
    })
  )

  onStage("give back what takes longer than the drain may", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const program = yield* running(Worker.run([echo(gate)], { drain: "10 seconds" }))
      yield* send("in", "1")
      const stopping = yield* running(Fiber.interrupt(program))
      yield* elapse("9 seconds")
      assert.isUndefined(stopping.pollUnsafe())
      yield* elapse("1 second")
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* depth("in.echo"), 1)
    })
  )

  onStage("are subscribed before `onStart` runs, and have the guarantees that the stores give", () =>
    Effect.gen(function* () {
      const handled: Array<unknown> = []
      const note = Worker.make("note", { topic: "in", dedupe: true, ordered: true }, ({ n }) =>
        Effect.sync(() => void handled.push(n))
      )
      const onStart = Effect.forEach([1, 2, 1, 3], (n) => Worker.publish("in", { n }, { key: "a", id: `${n}` }))
      yield* running(Worker.run([note], { onStart }).pipe(Effect.provide(Stores.memory)))
      yield* settled
      assert.deepStrictEqual(handled, [1, 2, 3])
    })
  )

  onStage("end with the name of the worker whose guarantee has no store", () =>
    Effect.gen(function* () {
      const worker = Worker.make("note", { topic: "in", dedupe: true }, () => Effect.void)
      const error = yield* Effect.flip(Worker.run([worker]))
      assert.match(error.message, /worker note .*dedupe.*Stores/)
    })
  )

  onStage("end with what the broker refuses for good", () =>
    Effect.gen(function* () {
      const refusal = new BrokerError({ reason: new BrokerRefused({ detail: "no such user" }) })
      const refusing = yield* broken(() => ({ subscribe: () => Effect.fail(refusal) }))
      const gate = yield* Deferred.make<void>()
      const exit = yield* Effect.exit(Effect.provideService(Worker.run([echo(gate)]), Broker, refusing))
      assert.deepStrictEqual(exit, Exit.fail(refusal))
    })
  )
})
