import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Broker } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { bytes, message } from "../support/Messages.ts"
import { deadLetters, depth, elapse, json, onStage, send, settled, start } from "../support/TopicStage.ts"

describe("A topic worker on dead letters", () => {
  onStage("consumes the letters themselves, so that each is kept once", () =>
    Effect.gen(function* () {
      yield* start(Worker.make("w", { topic: "in", retry: RetryPolicy.none }, () => Effect.fail("no")))
      yield* send("in", "1")
      assert.strictEqual(yield* depth("in.dlq"), 1)
      const letters: Array<unknown> = []
      yield* start(
        Worker.make("undertaker", { topic: "in.dlq" }, (letter) => Effect.sync(() => void letters.push(letter)))
      )
      yield* send("in", "2")
      assert.deepStrictEqual(
        letters,
        [1, 2].map((original) => ({ original, error: "no", worker: "w", retries: 0 }))
      )
      assert.strictEqual(yield* depth("in.dlq"), 0)
    })
  )

  onStage("starts to count its retries anew", () =>
    Effect.gen(function* () {
      let runs = 0
      yield* start(Worker.make("w", { topic: "in" }, () => Effect.fail("no")))
      yield* start(
        Worker.make("undertaker", { topic: "in.dlq" }, () =>
          Effect.andThen(
            Effect.sync(() => runs++),
            Effect.fail("neither")
          )
        )
      )
      yield* send("in", "1")
      yield* elapse("1 hour")
      assert.strictEqual(runs, 4)
      assert.deepStrictEqual(
        (yield* deadLetters("in.dlq")).map((one) => [(json(one) as { retries: number }).retries]),
        [[3]]
      )
    })
  )
})

describe("A topic worker on commands", () => {
  const command = "payment.commands.process"

  onStage("consumes the queue of that very name, whoever puts them there", () =>
    Effect.gen(function* () {
      const handled: Array<unknown> = []
      yield* start(Worker.make("processor", { topic: command }, (input) => Effect.sync(() => void handled.push(input))))
      yield* Broker.use((broker) => broker.publish([message(command, { body: bytes("1") })]))
      yield* Worker.publish(command, 2)
      yield* settled
      assert.deepStrictEqual([handled, yield* depth(command)], [[1, 2], 0])
    })
  )

  onStage("tries a command again from there, and says of its dead letter that it came from there", () =>
    Effect.gen(function* () {
      const retry = RetryPolicy.fixed({ maxRetries: 1 })
      const worker = Worker.make("processor", { topic: command, retry }, () => Effect.fail("no"))
      const { endings } = yield* start(worker)
      yield* send(command, "1", { id: "i" })
      yield* elapse("1 minute")
      assert.deepStrictEqual(endings, ["retried", "dead_lettered"])
      const [letter] = yield* deadLetters(command)
      assert.strictEqual(letter?.headers["x-paystream-own-queue"], "true")
    })
  )
})
