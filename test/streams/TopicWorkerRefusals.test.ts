import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Broker, BrokerError, type MessageContent, MessageRefused } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { Supervisor } from "../../src/streams/Supervisor.ts"
import { DeadLetterTopics } from "../../src/streams/TopicWorker.ts"
import * as Worker from "../../src/streams/Worker.ts"
import { text } from "../support/Messages.ts"
import {
  broken,
  deadLetter,
  deadLetters,
  depth,
  elapse,
  json,
  logs,
  onStage,
  seen,
  send,
  settled,
  start,
  watch
} from "../support/TopicStage.ts"

const refusal = new BrokerError({ reason: new MessageRefused({ detail: "too large" }) })

/** A broker that takes no body above so many bytes. */
const takingUpTo = (bytes: number) => {
  const checked = (messages: ReadonlyArray<MessageContent>) =>
    messages.some(({ body }) => body.length > bytes) ? Effect.fail(refusal) : Effect.void
  return broken((broker) => ({
    publishToTopics: (messages) => Effect.andThen(checked(messages), broker.publishToTopics(messages)),
    deliverLater: (subscription, messages) =>
      Effect.andThen(checked(messages), broker.deliverLater(subscription, messages))
  }))
}

describe("A topic worker whose broker refuses a message", () => {
  onStage("sets the input aside when it is the output, and goes on", () =>
    Effect.gen(function* () {
      yield* watch("out")
      const worker = Worker.make("w", { topic: "in", outputTopic: "out" }, ({ size }) =>
        Effect.succeed("x".repeat(Number(size)))
      )
      const { endings } = yield* Effect.provideService(start(worker), Broker, yield* takingUpTo(100))
      for (const size of [200, 1]) yield* send("in", `{"size":${size}}`, { id: `${size}` })
      assert.deepStrictEqual(endings, ["dead_lettered", "done"])
      const letter = yield* deadLetter("in")
      assert.strictEqual(letter.headers["x-paystream-reason"], "invalid_output")
      assert.strictEqual((yield* seen("out")).length, 1)
    })
  )

  onStage("counts what its handler publishes as the handler's failure", () =>
    Effect.gen(function* () {
      const worker = Worker.make("w", { topic: "in", retry: RetryPolicy.fixed({ maxRetries: 1 }) }, () =>
        Worker.publish("out", "x".repeat(200))
      )
      const { endings } = yield* Effect.provideService(start(worker), Broker, yield* takingUpTo(150))
      yield* send("in", "1")
      yield* elapse("1 minute")
      assert.deepStrictEqual(endings, ["retried", "dead_lettered"])
    })
  )

  onStage("sets aside the original as it came when the letter around it is too large", () =>
    Effect.gen(function* () {
      const body = JSON.stringify("x".repeat(90))
      const worker = Worker.make("w", { topic: "in" }, () => Worker.reject("no"))
      const { endings } = yield* Effect.provideService(start(worker), Broker, yield* takingUpTo(100))
      yield* send("in", body, { id: "i", contentType: "text/x" })
      yield* send("in", "1")
      assert.deepStrictEqual(endings, ["dead_lettered", "dead_lettered"])
      const [letter, wrapped] = yield* deadLetters("in")
      assert.deepStrictEqual(
        [text(letter?.body ?? new Uint8Array()), letter?.contentType, letter?.headers["x-paystream-unwrapped"]],
        [body, "text/x", "true"]
      )
      assert.strictEqual(letter?.headers["x-paystream-error"], "no")
      assert.isUndefined(wrapped?.headers["x-paystream-unwrapped"])
    })
  )

  onStage("sets aside what cannot be made to wait", () =>
    Effect.gen(function* () {
      const refusing = yield* broken(() => ({ deliverLater: () => Effect.fail(refusal) }))
      const worker = Worker.make("w", { topic: "in" }, () => Effect.fail("no"))
      const { endings } = yield* Effect.provideService(start(worker), Broker, refusing)
      yield* send("in", "1")
      assert.deepStrictEqual(endings, ["dead_lettered"])
      assert.match(String((yield* deadLetter("in")).headers["x-paystream-error"]), /too large/)
    })
  )

  onStage("keeps at the broker what it can neither finish nor set aside, tries again, and says so", () =>
    Effect.gen(function* () {
      const refusing = yield* broken(() => ({ publishToTopics: () => Effect.fail(refusal) }))
      let runs = 0
      const worker = Worker.make("w", { topic: "in", retry: RetryPolicy.none }, () =>
        Effect.suspend(() => {
          runs++
          return Effect.fail("no")
        })
      )
      const { endings, fiber } = yield* Effect.provideService(start(worker), Broker, refusing)
      yield* send("in", "1")
      for (let turn = 0; turn < 10; turn++) yield* elapse("1 minute")
      assert.deepStrictEqual(endings, [])
      assert.isUndefined(fiber.pollUnsafe())
      assert.isAbove(runs, 3)
      assert.isTrue(logs.some((line) => line.includes("no dead letter can be published to in.dlq")))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* depth("in.w"), 1)
    })
  )
})

describe("A topic worker whose handlers cannot be made", () => {
  for (const [name, handlers] of [
    ["fail", Effect.fail("no warehouse")],
    ["die", Effect.die(new Error("no warehouse"))]
  ] as const) {
    onStage(`ends with its name when they ${name}, and the process knows that it has failed`, () =>
      Effect.gen(function* () {
        const { fiber } = yield* start(Worker.make("orders", { topic: "in" }, handlers))
        assert.match(String(fiber.pollUnsafe()), /worker orders cannot start.*no warehouse/)
        const { states } = yield* Supervisor
        assert.strictEqual((yield* states).get("worker orders"), "failed")
        assert.isTrue(logs.some((line) => line.includes("level=ERROR") && line.includes("worker orders")))
      })
    )
  }
})

describe("A topic worker whose Effect gives no handlers", () => {
  const given: Record<string, readonly [handlers: unknown, said: RegExp]> = {
    "something else": [42, /worker orders: its handlers lack `process`/],
    nothing: [undefined, /worker orders: its handlers lack `process`/],
    "hooks alone": [{ onError: () => Effect.void }, /worker orders: its handlers lack `process`/],
    "what is no hook": [{ process: () => Effect.void, onSuccess: 1 }, /worker orders: its onSuccess or onError is no/]
  }
  for (const [name, [handlers, said]] of Object.entries(given)) {
    onStage(`but ${name} is refused with its name before it takes a message`, () =>
      Effect.gen(function* () {
        // a module need not have seen a compiler
        const unchecked = Effect.succeed(handlers) as Effect.Effect<{ readonly process: () => Effect.Effect<void> }>
        const { fiber } = yield* start(Worker.make("orders", { topic: "in" }, unchecked))
        assert.match(String(fiber.pollUnsafe()), said)
      })
    )
  }
})

describe("Dead letters of a topic that is not named so", () => {
  onStage("are kept once where the process knows what the topic is, consumed or not", () =>
    Effect.gen(function* () {
      const failing = Worker.make("w", { topic: "in", dlqTopic: "failed", retry: RetryPolicy.none }, () =>
        Effect.fail("no")
      )
      yield* start(failing)
      yield* send("in", "1")
      const letters: Array<unknown> = []
      const undertaker = Worker.make("undertaker", { topic: "failed" }, (letter) =>
        Effect.sync(() => void letters.push(letter))
      )
      yield* Effect.provideService(start(undertaker), DeadLetterTopics, new Set(["failed"]))
      yield* send("in", "2")
      yield* settled
      assert.strictEqual(letters.length, 2)
      assert.strictEqual(yield* depth("failed"), 0)
    })
  )

  onStage("have an id of their group's own", () =>
    Effect.gen(function* () {
      for (const name of ["a", "b"]) {
        yield* start(Worker.make(name, { topic: "in", retry: RetryPolicy.none }, () => Effect.fail("no")))
      }
      yield* send("in", "1", { id: "i" })
      const letters = yield* deadLetters("in")
      assert.deepStrictEqual(letters.map(({ id }) => id).toSorted(), ["i/a.dlq", "i/b.dlq"])
      assert.deepStrictEqual(
        letters.map(({ headers }) => headers["x-paystream-message-id"]),
        ["i", "i"]
      )
      assert.deepStrictEqual(letters.map(json).length, 2)
    })
  )
})
