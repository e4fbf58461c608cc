import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Logger, References } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { commandTopic } from "../../src/domain/PaymentMessages.ts"
import { IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import { GatewayAway, GatewayError, PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"
import { StoreAway, StoreError } from "../../src/domain/StoreError.ts"
import * as WorkerTest from "../../src/layers/memory/WorkerTest.ts"
import { GatewayAccess } from "../../src/streams/GatewayAccess.ts"
import { type PaymentCommandOptions, paymentCommands } from "../../src/streams/PaymentCommands.ts"
import { noLooks, swept } from "../../src/streams/PaymentSweep.ts"
import {
  ask,
  ground,
  money,
  options,
  paymentId,
  requests,
  scripted,
  stateOf,
  sweeping,
  test
} from "../support/PaymentGround.ts"

const retry = RetryPolicy.fixed({ maxRetries: 2, initialDelay: "1 second" })

const command = (id: string, commandId = "command-1") => ({
  commandId,
  type: "ProcessPayment",
  paymentId: id,
  requestedAt: "2026-11-21T12:00:00.000Z",
  addedLater: true
})

const take = (input: unknown, changes: Partial<PaymentCommandOptions> = {}) =>
  WorkerTest.test(paymentCommands({ ...options, concurrency: 1, retry, ...changes }), input)

const storeAway = new StoreError({ reason: new StoreAway({ detail: "away", code: "test" }) })

const endings = ({ attempts }: WorkerTest.Tested) => attempts.map(({ ending }) => ending)

describe("A command to process a payment", () => {
  test("has it charged, and does nothing when it comes again", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      assert.deepStrictEqual(endings(yield* take(command(id))), ["done"])
      assert.deepStrictEqual(endings(yield* take(command(id))), ["done"])
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm"])
    }))

  test("is looked up: what was done is not even looked for among the payments", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* take(command(id))
      const intents = yield* PaymentIntents
      const unseen = { ...intents, claim: () => Effect.die("claimed once more") }
      assert.deepStrictEqual(endings(yield* Effect.provideService(take(command(id)), PaymentIntents, unseen)), ["done"])
    }))

  test("charges nothing twice where it is not remembered", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* take(command(id))
      const empty = { ...(yield* IdempotencyKeys), claim: () => Effect.fail(storeAway) }
      const again = yield* Effect.provideService(take(command(id)), IdempotencyKeys, empty)
      assert.deepStrictEqual(endings(again), ["done"])
      assert.strictEqual((yield* money(id)).charges, 1)
    }))

  test("is not stopped by keys that are away", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const away = { ...(yield* IdempotencyKeys), claim: () => Effect.fail(storeAway) }
      yield* Effect.provideService(take(command(id)), IdempotencyKeys, away)
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("is tried again as the policy says", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_twice" })
      assert.deepStrictEqual(endings(yield* take(command(id))), ["retried", "retried", "done"])
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("waits as long as the provider asks, without using up an attempt", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const gateway = yield* PaymentGateway
      const reason = new GatewayAway({ detail: "limited", retryAfterMillis: 7000 })
      let failures = 5
      const limited = {
        ...gateway,
        confirm: (charge: Parameters<typeof gateway.confirm>[0]) =>
          Effect.suspend(() => (failures-- > 0 ? Effect.fail(new GatewayError({ reason })) : gateway.confirm(charge)))
      }
      const tested = yield* Effect.provideService(take(command(id)), PaymentGateway, limited)
      assert.deepStrictEqual(endings(tested), [...Array.from({ length: 5 }, () => "snoozed" as const), "done"])
      assert.deepStrictEqual(tested.attempts[0]?.delay, Duration.seconds(7))
    }))

  test("that is put off says why in the log", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_twice" })
      const lines: Array<unknown> = []
      const logger = Logger.make(({ fiber, logLevel, message }) => {
        const { paymentId: payment, step } = fiber.getRef(References.CurrentLogAnnotations)
        if (step !== undefined) lines.push([logLevel, payment, step, String(message)])
      })
      yield* Effect.provide(take(command(id)), Logger.layer([logger]))
      const line = ["Info", id, "charge", `payment ${id} does not get on (charge): the sandbox is away (503)`]
      assert.deepStrictEqual(lines, [line, line])
    }))

  test("waits without using up an attempt where the provider does not let us in, which is told", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* scripted("prepare", "unauthorized", "unauthorized", "unauthorized", "unauthorized")
      const told: Array<string> = []
      const tested = yield* Effect.provideService(take(command(id)), GatewayAccess, {
        refused: ({ reason }) => Effect.sync(() => void told.push(reason._tag))
      })
      assert.deepStrictEqual(endings(tested), ["snoozed", "snoozed", "snoozed", "snoozed", "done"])
      assert.deepStrictEqual([...new Set(told)], ["GatewayUnauthorized"])
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("that fails too often is dead with its payment's history, and the payment has failed", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_error" })
      const { deadLetter, ending } = yield* take(command(id))
      assert.strictEqual(ending, "dead_lettered")
      assert.strictEqual(deadLetter?.topic, `${commandTopic}.dlq`)
      const error = deadLetter?.text
      assert.include(error, `payment ${id} does not get on (charge)`)
      assert.include(error, "requested: 100.00 BRL")
      assert.include(error, "reserve done")
      const { failure, status } = yield* stateOf(id)
      assert.deepStrictEqual([status, failure], ["failed", "gateway_away"])
      assert.deepStrictEqual(yield* requests, ["prepare", "confirm", "confirm", "confirm", "cancel"])
    }))

  test("that is dead while somebody else is at its payment has it given up by the sweep, and waits for nobody", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_error" })
      const intents = yield* PaymentIntents
      let claims = 0
      const busy = {
        ...intents,
        claim: (...given: Parameters<typeof intents.claim>) =>
          ++claims === 2 ? Effect.undefined : intents.claim(...given)
      }
      yield* Effect.provideService(take(command(id), { retry: RetryPolicy.none }), PaymentIntents, busy)
      const { setAside, status } = yield* stateOf(id)
      assert.deepStrictEqual([claims, status, setAside], [2, "processing", "its retries are used up"])
      yield* TestClock.adjust(sweeping.overdueAfter)
      yield* swept(sweeping, noLooks())
      assert.strictEqual((yield* stateOf(id)).status, "failed")
    }))

  test("is dead on its first failure without retries", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_twice" })
      assert.deepStrictEqual(endings(yield* take(command(id), { retry: RetryPolicy.none })), ["dead_lettered"])
      assert.strictEqual((yield* stateOf(id)).status, "failed")
    }))

  test("is done with a payment in doubt: the sweep goes on asking", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_timeout_charged" })
      yield* scripted("retrieve", "away")
      assert.deepStrictEqual(endings(yield* take(command(id))), ["done"])
      assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
    }))

  test("waits while somebody else is at its payment", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      let held = 2
      const busy = {
        ...intents,
        claim: (...given: Parameters<typeof intents.claim>) => (held-- > 0 ? Effect.undefined : intents.claim(...given))
      }
      const tested = yield* Effect.provideService(take(command(id)), PaymentIntents, busy)
      assert.deepStrictEqual(endings(tested), ["snoozed", "snoozed", "done"])
    }))

  test("waits while the database is away, without using up an attempt", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      let failures = 4
      const away = {
        ...intents,
        claim: (...given: Parameters<typeof intents.claim>) =>
          failures-- > 0 ? Effect.fail(storeAway) : intents.claim(...given)
      }
      const tested = yield* Effect.provideService(take(command(id)), PaymentIntents, away)
      assert.deepStrictEqual(endings(tested), ["snoozed", "snoozed", "snoozed", "snoozed", "done"])
    }))

  test("for a payment that is not there is dead", () =>
    Effect.gen(function* () {
      const { deadLetter } = yield* take(command(paymentId(9)))
      assert.strictEqual(deadLetter?.reason, "rejected")
    }))

  test("that was another payment's is dead", () =>
    Effect.gen(function* () {
      yield* take(command(yield* ask()))
      const { deadLetter } = yield* take(command(yield* ask({ number: 2 })))
      assert.strictEqual(deadLetter?.reason, "rejected")
      assert.strictEqual((yield* stateOf(paymentId(2))).status, "requested")
    }))

  it.effect.each(["2", "1.0", "", 2])("of version %j is dead, whatever it says, and its payment untouched", (version) =>
    Effect.gen(function* () {
      const id = yield* ask()
      const worker = paymentCommands({ ...options, concurrency: 1, retry })
      for (const input of [command(id), { only: "later versions know" }]) {
        const { deadLetter } = yield* WorkerTest.test(worker, input, { headers: { version } })
        assert.strictEqual(deadLetter?.reason, "invalid_input")
        assert.include(deadLetter?.text, "version 1 of payment.commands.process is read here")
      }
      assert.strictEqual((yield* stateOf(id)).status, "requested")
    }).pipe(Effect.provide(ground))
  )

  it.effect.each(["1", 1])("of version %j is taken", (version) =>
    Effect.gen(function* () {
      const id = yield* ask()
      const worker = paymentCommands({ ...options, concurrency: 1, retry })
      assert.strictEqual((yield* WorkerTest.test(worker, command(id), { headers: { version } })).ending, "done")
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }).pipe(Effect.provide(ground))
  )

  it.effect.each([{}, { type: "Other" }, { paymentId: "1" }, { amount: "1.234" }, { requestedAt: "yesterday" }])(
    "that is none is dead: %j",
    (changes) =>
      Effect.gen(function* () {
        const wrong = Object.keys(changes).length === 0 ? {} : { ...command(paymentId(1)), ...changes }
        const { deadLetter } = yield* take(wrong)
        assert.strictEqual(deadLetter?.reason, "invalid_input")
      }).pipe(Effect.provide(ground))
  )
})
