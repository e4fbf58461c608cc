import { assert, describe } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { ask, happened, money, once, options, stateOf, test } from "../support/PaymentGround.ts"

describe("Several processors", () => {
  const slowly = Effect.fnUntraced(function* () {
    const gateway = yield* PaymentGateway
    const begun = yield* Deferred.make<void>()
    const goOn = yield* Deferred.make<void>()
    const service = {
      ...gateway,
      confirm: (charge: Parameters<typeof gateway.confirm>[0]) =>
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Deferred.await(goOn)),
          Effect.andThen(gateway.confirm(charge))
        )
    }
    return { begun: Deferred.await(begun), goOn: Deferred.succeed(goOn, undefined), service }
  })

  test("take up a payment one at a time, for as long as the first works on it", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const { begun, goOn, service } = yield* slowly()
      const first = yield* Effect.forkChild(Effect.provideService(processPayment(id, options), PaymentGateway, service))
      yield* begun
      yield* TestClock.adjust(Duration.times(options.lease, 5))
      assert.strictEqual((yield* processPayment(id, options))._tag, "Held")
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("go on where one has died, once its lease is over", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      yield* intents.claim(id, options.lease)
      assert.strictEqual((yield* processPayment(id, options))._tag, "Held")
      yield* TestClock.adjust(options.lease)
      assert.strictEqual((yield* processPayment(id, options))._tag, "Ended")
    }))

  test("that have lost their claim store nothing more", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const intents = yield* PaymentIntents
      const { begun, goOn, service } = yield* slowly()
      const deaf = { ...intents, renew: () => Effect.succeed(true) }
      const first = yield* processPayment(id, options).pipe(
        Effect.provideService(PaymentGateway, service),
        Effect.provideService(PaymentIntents, deaf),
        Effect.forkChild
      )
      yield* begun
      yield* TestClock.adjust(options.lease)
      yield* processPayment(id, options)
      const history = yield* happened(id)
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.deepStrictEqual(yield* happened(id), history)
      assert.deepStrictEqual(yield* money(id), once)
    }))

  test("ask the store for nothing more than a claim and a change for each step of what ends, and give back the rest", () =>
    Effect.gen(function* () {
      const intents = yield* PaymentIntents
      const asked: Array<string> = []
      const noting = <A, E, R>(name: string, call: Effect.Effect<A, E, R>) =>
        Effect.andThen(
          Effect.sync(() => void asked.push(name)),
          call
        )
      const noted = {
        ...intents,
        claim: (...given: Parameters<typeof intents.claim>) => noting("claim", intents.claim(...given)),
        append: (...given: Parameters<typeof intents.append>) => noting("append", intents.append(...given)),
        release: (...given: Parameters<typeof intents.release>) => noting("release", intents.release(...given))
      }
      const process = (id: string) => Effect.provideService(processPayment(id, options), PaymentIntents, noted)
      const id = yield* ask()
      yield* process(id)
      assert.deepStrictEqual(asked.splice(0), ["claim", "append", "append", "append", "append"])
      // One that had ended before has nothing to end with.
      yield* process(id)
      assert.deepStrictEqual(asked.splice(0), ["claim", "release"])
      yield* Effect.flip(process(yield* ask({ number: 2, method: "sandbox_error" })))
      assert.deepStrictEqual(asked, ["claim", "append", "append", "release"])
    }))

  test("go on from what a provider has told meanwhile", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const { begun, goOn, service } = yield* slowly()
      const first = yield* Effect.forkChild(Effect.provideService(processPayment(id, options), PaymentGateway, service))
      yield* begun
      yield* changeStored(id, { _tag: "FinishStep", step: "charge" })
      yield* goOn
      assert.strictEqual((yield* Fiber.join(first))._tag, "Ended")
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))
})
