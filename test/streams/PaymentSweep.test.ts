import { assert, describe } from "@effect/vitest"
import { Duration, Effect, Logger } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { GatewayAway, GatewayError, GatewayRefused, PaymentGateway } from "../../src/domain/ports/PaymentGateway.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import { StoreError, StoreOutdated } from "../../src/domain/StoreError.ts"
import { unlessNotLetIn } from "../../src/streams/GatewayAccess.ts"
import { changeStored } from "../../src/streams/PaymentChanges.ts"
import { processPayment } from "../../src/streams/PaymentProcessor.ts"
import { type Looks, noLooks, swept } from "../../src/streams/PaymentSweep.ts"
import { Shutdown } from "../../src/streams/Shutdown.ts"
import {
  ask,
  listening,
  money,
  options,
  refund,
  requests,
  scripted,
  stateOf,
  sweeping,
  test
} from "../support/PaymentGround.ts"

const sweep = (looks: Looks = noLooks()) => swept(sweeping, looks)

describe("The sweep", () => {
  test("takes up what nobody has taken up, when it is due", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "requested")
      yield* TestClock.adjust("15 seconds")
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
    }))

  test("asks what became of charges in doubt, again and again", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_timeout_charged" })
      yield* scripted("retrieve", "away", "lost", "refused")
      yield* Effect.flip(processPayment(id, options))
      for (let round = 0; round < 2; round++) {
        yield* TestClock.adjust("15 seconds")
        yield* sweep()
        assert.strictEqual((yield* stateOf(id)).status, "in_doubt")
      }
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "succeeded")
      assert.strictEqual((yield* money(id)).charges, 1)
    }))

  test("gives up a charge that gets nowhere for too long", () =>
    Effect.gen(function* () {
      const id = yield* ask({ method: "sandbox_error" })
      yield* Effect.flip(processPayment(id, options))
      yield* TestClock.adjust("59 minutes")
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "processing")
      yield* TestClock.adjust("1 minute")
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "failed")
    }))

  test("gives up a charge whose command was set aside when it does not get on, and not after an hour", () =>
    Effect.gen(function* () {
      const dead = yield* ask({ method: "sandbox_error" })
      const sound = yield* ask({ number: 2 })
      yield* Effect.flip(processPayment(dead, options))
      for (const id of [dead, sound]) yield* changeStored(id, { _tag: "SetAside", reason: "its process died 3 times" })
      yield* TestClock.adjust("15 seconds")
      yield* sweep()
      assert.strictEqual((yield* stateOf(dead)).status, "failed")
      assert.strictEqual((yield* stateOf(sound)).status, "succeeded")
      // What has ended is not written to any more.
      const { setAside } = yield* stateOf(yield* Effect.tap(ask({ number: 3 }), (id) => processPayment(id, options)))
      assert.isUndefined(setAside)
    }))

  test("never gives up undoing, and tells an operator once that it does not get on", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* processPayment(id, options)
      yield* changeStored(id, refund)
      yield* scripted("refund", ...Array.from({ length: 4 }, () => "away" as const))
      const looks = noLooks()
      yield* TestClock.adjust("14 minutes")
      assert.deepStrictEqual(yield* listening(sweep(looks)), [])
      // Some of it is undone by now: that is news.
      yield* TestClock.adjust("15 minutes")
      assert.deepStrictEqual(yield* listening(sweep(looks)), [
        "Error a payment does not get on by itself: see `sagas show`"
      ])
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* listening(sweep(looks)), [])
      yield* sweep(looks)
      yield* sweep(looks)
      assert.strictEqual((yield* stateOf(id)).status, "compensated")
      assert.strictEqual((yield* money(id)).refunds, 1)
    }))

  test("counts all that do not get on, and names a few at a time, so that an outage does not flood the log", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 1050 }, (_, number) => number),
        (number) => ask({ number })
      )
      const looks = noLooks()
      // So long that none of them is taken up: that would be news.
      const sweepOnce = listening(swept({ ...sweeping, overdueAfter: Duration.days(1) }, looks))
      yield* TestClock.adjust("15 minutes")
      const lines = yield* sweepOnce
      assert.lengthOf(lines, 21)
      assert.strictEqual(lines.at(-1), "Error 1050 payments do not get on by themselves: see `sagas list --stuck`")
      for (let look = 2; look <= 50; look++) assert.lengthOf(yield* sweepOnce, 21)
      // The oldest 1,000 are named by now.
      assert.deepStrictEqual(yield* sweepOnce, [])
    }))

  test("leaves alone what waits for an operator", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      const stopping = { ...options, isCompensating: false }
      yield* processPayment(id, stopping)
      yield* changeStored(id, refund)
      yield* processPayment(id, stopping)
      yield* TestClock.adjust("2 hours")
      yield* sweep()
      assert.isTrue((yield* stateOf(id)).isCompensationRequired)
    }))

  test("leaves a provider alone that is away for ten in a row, until the next look", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, number) => number),
        (number) => ask({ number, method: "sandbox_error" })
      )
      yield* TestClock.adjust("15 seconds")
      yield* swept({ ...sweeping, concurrency: 1 }, noLooks())
      assert.strictEqual((yield* requests).filter((request) => request === "confirm").length, 10)
    }))

  for (const [asked, kept] of [
    [7, 7],
    [3600, 300]
  ] as const) {
    test(`asks nothing more of a provider that asks for ${asked} seconds, for ${kept} of them`, () =>
      Effect.gen(function* () {
        yield* Effect.forEach([1, 2, 3], (number) => ask({ number }))
        yield* TestClock.adjust("15 seconds")
        const reason = new GatewayAway({ detail: "limited", retryAfterMillis: asked * 1000 })
        let asks = 0
        const limited = {
          ...(yield* PaymentGateway),
          prepare: () =>
            Effect.suspend(() => {
              asks++
              return Effect.fail(new GatewayError({ reason }))
            })
        }
        const looks = noLooks()
        const sweepOnce = Effect.provideService(swept({ ...sweeping, concurrency: 1 }, looks), PaymentGateway, limited)
        yield* sweepOnce
        assert.strictEqual(asks, 1)
        yield* TestClock.adjust(Duration.seconds(kept - 1))
        yield* sweepOnce
        assert.strictEqual(asks, 1)
        yield* TestClock.adjust("1 second")
        yield* sweepOnce
        assert.strictEqual(asks, 2)
      }))
  }

  test("takes up a charge however many refunds are refused in front of it", () =>
    Effect.gen(function* () {
      const refunds = yield* Effect.forEach(
        Array.from({ length: 1050 }, (_, number) => number + 2),
        (number) => ask({ number })
      )
      yield* Effect.forEach(refunds, (id) => processPayment(id, options))
      yield* Effect.forEach(refunds, (id) => changeStored(id, refund))
      const orphan = yield* ask({ number: 1 })
      yield* TestClock.adjust("15 seconds")
      const refusal = new GatewayError({ reason: new GatewayRefused({ detail: "no" }) })
      const refusing = { ...(yield* PaymentGateway), refund: () => Effect.fail(refusal) }
      const looks = noLooks()
      const sweepOnce = Effect.provideService(swept({ ...sweeping, concurrency: 1 }, looks), PaymentGateway, refusing)
      yield* sweepOnce
      assert.strictEqual((yield* stateOf(orphan)).status, "requested")
      yield* sweepOnce
      assert.strictEqual((yield* stateOf(orphan)).status, "succeeded")
      // The next look begins again with the first.
      assert.isUndefined(looks.last)
    }))

  test("asks no more of a provider that does not let us in, and stops the process with its refusal", () =>
    Effect.gen(function* () {
      yield* Effect.forEach(
        Array.from({ length: 5 }, (_, number) => number),
        (number) => ask({ number })
      )
      yield* TestClock.adjust("15 seconds")
      yield* scripted("prepare", "unauthorized", "unauthorized")
      const lines: Array<unknown> = []
      const logger = Logger.make(({ message }) => void lines.push(message))
      const sweepOnce = Effect.provide(swept({ ...sweeping, concurrency: 1 }, noLooks()), Logger.layer([logger]))
      const error = yield* Effect.flip(unlessNotLetIn(sweepOnce))
      assert.strictEqual(error._tag === "GatewayError" ? error.reason._tag : error._tag, "GatewayUnauthorized")
      assert.deepStrictEqual(yield* requests, ["prepare"])
      assert.strictEqual(yield* Shutdown.use(({ isRequested }) => isRequested), true)
    }))

  test("is not stopped by a defect in one payment", () =>
    Effect.gen(function* () {
      const broken = yield* ask()
      const sound = yield* ask({ number: 2 })
      const gateway = yield* PaymentGateway
      yield* TestClock.adjust("15 seconds")
      const failing = {
        ...gateway,
        prepare: (charge: Parameters<typeof gateway.prepare>[0]) =>
          charge.paymentId === broken ? Effect.die("a defect") : gateway.prepare(charge)
      }
      const lines = yield* listening(Effect.provideService(sweep(), PaymentGateway, failing))
      assert.strictEqual(lines.length, 1)
      assert.strictEqual((yield* stateOf(sound)).status, "succeeded")
    }))

  test("is not stopped by a payment that the store cannot read: a later version may have written to it", () =>
    Effect.gen(function* () {
      const unreadable = yield* ask()
      const sound = yield* ask({ number: 2 })
      const intents = yield* PaymentIntents
      yield* TestClock.adjust("15 seconds")
      const outdated = new StoreError({ reason: new StoreOutdated({ detail: "an event that nobody knows" }) })
      const reading = {
        ...intents,
        claim: (id: string, lease: Duration.Duration) =>
          id === unreadable ? Effect.fail(outdated) : intents.claim(id, lease)
      }
      const lines = yield* listening(Effect.provideService(sweep(), PaymentIntents, reading))
      assert.deepStrictEqual(lines, ["Error a payment cannot be taken up: an event that nobody knows"])
      assert.strictEqual((yield* stateOf(sound)).status, "succeeded")
    }))

  test("takes up nothing more when it is asked to stop", () =>
    Effect.gen(function* () {
      const id = yield* ask()
      yield* TestClock.adjust("15 seconds")
      yield* Shutdown.use((shutdown) => shutdown.request)
      yield* sweep()
      assert.strictEqual((yield* stateOf(id)).status, "requested")
    }))
})
