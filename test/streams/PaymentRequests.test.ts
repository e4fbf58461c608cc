import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { PaymentIntents } from "../../src/domain/ports/PaymentIntents.ts"
import * as MemoryOutbox from "../../src/layers/memory/MemoryOutbox.ts"
import * as MemoryPaymentIntents from "../../src/layers/memory/MemoryPaymentIntents.ts"
import { PaymentOutlet } from "../../src/streams/PaymentOutlet.ts"
import * as PaymentRequests from "../../src/streams/PaymentRequests.ts"

const request = { amount: 10_000n, currency: "BRL", paymentMethod: "pm_card_visa" }
const asked = { client: "ann", key: "k", request }
const withCommand = { sendsCommand: true }
const rules = { maxAttempts: 5, dead: "hold" } as const

const stores = () =>
  PaymentOutlet.outbox.pipe(Layer.provideMerge(Layer.merge(MemoryOutbox.layer, MemoryPaymentIntents.layer)))
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const topics = Outbox.use((outbox) =>
  Effect.map(outbox.list(rules, { onlyDead: false, limit: 100 }), (events) => events.map(({ topic }) => topic))
)

describe("payments that are asked for", () => {
  it.effect("have an id that follows from who asks and under which key, and from nothing else", () =>
    Effect.gen(function* () {
      const id = yield* PaymentRequests.idOf("ann", "k")
      assert.match(id, uuid)
      assert.strictEqual(yield* PaymentRequests.idOf("ann", "k"), id)
      const others = [
        yield* PaymentRequests.idOf("bob", "k"),
        yield* PaymentRequests.idOf("ann", "l"),
        yield* PaymentRequests.idOf("annk", ""),
        yield* PaymentRequests.idOf("", "annk")
      ]
      assert.strictEqual(new Set([id, ...others]).size, 5)
    })
  )

  it.effect("are stored once with one command, however often and concurrently they are asked for", () =>
    Effect.gen(function* () {
      const taken = yield* Effect.forEach(Array.from({ length: 50 }), () => PaymentRequests.take(asked, withCommand), {
        concurrency: 50
      })
      assert.strictEqual(taken.filter((one) => one._tag === "Taken" && one.isNew).length, 1)
      assert.isTrue(taken.every(({ _tag }) => _tag === "Taken"))
      assert.deepStrictEqual(yield* topics, ["payment.events.requested", "payment.commands.process"])
      assert.strictEqual((yield* PaymentIntents.use((intents) => intents.list([], 10))).length, 1)
    }).pipe(Effect.provide(stores()))
  )

  it.effect("keep their key: another request under it makes no payment", () =>
    Effect.gen(function* () {
      yield* PaymentRequests.take(asked, withCommand)
      const other = yield* PaymentRequests.take({ ...asked, request: { ...request, amount: 1n } }, withCommand)
      assert.deepStrictEqual(other, { _tag: "OtherRequest" })
      assert.strictEqual((yield* topics).length, 2)
      const bobs = yield* PaymentRequests.take({ ...asked, client: "bob" }, withCommand)
      assert.isTrue(bobs._tag === "Taken" && bobs.isNew)
    }).pipe(Effect.provide(stores()))
  )

  it.effect("are found by the request that they were taken for, which stores none", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* PaymentRequests.find(asked), { _tag: "OtherRequest" })
      assert.deepStrictEqual(yield* topics, [])
      const id = yield* PaymentRequests.idOf(asked.client, asked.key)
      yield* PaymentRequests.take(asked, withCommand)
      assert.deepStrictEqual(yield* PaymentRequests.find(asked), { _tag: "Taken", id, isNew: false })
      const other = { ...asked, request: { ...request, amount: 1n } }
      assert.deepStrictEqual(yield* PaymentRequests.find(other), { _tag: "OtherRequest" })
    }).pipe(Effect.provide(stores()))
  )

  it.effect("have no command where somebody processes them at once", () =>
    Effect.gen(function* () {
      yield* PaymentRequests.take(asked, { sendsCommand: false })
      assert.deepStrictEqual(yield* topics, ["payment.events.requested"])
    }).pipe(Effect.provide(stores()))
  )
})
