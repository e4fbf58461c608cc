/** What queues of RabbitMQ have and the port does not name: arguments, deletion, policies; and how its connection fails. */
import { randomUUID } from "node:crypto"
import { Duplex } from "node:stream"
import { assert, describe, it, layer } from "@effect/vitest"
import { connect } from "amqplib"
import { Effect, Fiber, Logger, Stream } from "effect"
import { inject } from "vitest"
import { Broker, type BrokerError, type Delivery } from "../../src/domain/ports/Broker.ts"
import { socketOf } from "../../src/layers/rabbitmq/JoinedWrites.ts"
import { withChannel } from "../support/Amqp.ts"
import { behind } from "../support/Behind.ts"
import { bytes, take, text, withDeliveries } from "../support/Messages.ts"
import { consuming, newQueue, publish, settle } from "../support/QueueSteps.ts"
import { rabbitMq } from "../support/Services.ts"
import { eventually } from "../support/servers/eventually.ts"

const deadline = { deadline: "30 seconds" } as const

const waiting = (queue: string) => withChannel(async (channel) => (await channel.checkQueue(queue)).messageCount)

const waitingIs = (queue: string, expected: number) =>
  eventually(
    Effect.map(waiting(queue), (count) => assert.strictEqual(count, expected)),
    deadline
  )

/** How a client's frame begins that closes a channel: class 20, method 40, then the code 200. */
const channelClose = Buffer.from([0, 20, 0, 40, 0, 200])

/** How frames of the broker begin that tell of an open connection, and of a channel that confirms. */
const connectionOpenOk = Buffer.from([0, 10, 0, 41])
const confirmSelectOk = Buffer.from([0, 85, 0, 11])

/** What a broker says that is being stopped: class 10, method 50, the code 320. */
const connectionClose = Buffer.from([1, 0, 0, 0, 0, 0, 11, 0, 10, 0, 50, 1, 64, 0, 0, 0, 0, 0, 206])

const ensureQueue = (name: string) => Effect.flatMap(Broker, (broker) => broker.ensureQueue(name))

const reasonOf = (error: BrokerError) => error.reason._tag

/** A logger that keeps the texts of warnings. */
const keepingWarnings = (warnings: Array<string>) =>
  Logger.layer([Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && warnings.push(String(message))))])

layer(rabbitMq(), { excludeTestServices: true })("Queues of RabbitMQ", (it) => {
  it.effect("are durable and without arguments where they were missing, as other programs declare them", () =>
    Effect.gen(function* () {
      const queue = yield* newQueue
      yield* withChannel((channel) => channel.assertQueue(queue, { durable: true }))
    })
  )

  it.effect("are used as they are where they exist, whatever their arguments", () =>
    Effect.gen(function* () {
      const queues = [
        { durable: true, maxLength: 5 },
        { durable: false },
        { durable: true, arguments: { "x-queue-type": "quorum" } }
      ]
      for (const options of queues) {
        const name = `foreign-${randomUUID()}`
        yield* withChannel((channel) => channel.assertQueue(name, options))
        yield* ensureQueue(name)
        yield* publish(name, ["one"])
        assert.strictEqual((yield* take(name, 1)).length, 1)
        yield* withChannel((channel) => channel.assertQueue(name, options))
      }
    })
  )

  it.effect("end their consumer with an error worth trying again when they are deleted, and can be made anew", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const queue = yield* newQueue
        const arrived: Array<Delivery> = []
        const warnings: Array<string> = []
        const consumer = yield* Stream.runForEach(consuming(queue), (one) =>
          Effect.sync(() => void arrived.push(one))
        ).pipe(Effect.flip, Effect.provide(keepingWarnings(warnings)), Effect.forkScoped)
        yield* publish(queue, ["unsettled"])
        yield* eventually(
          Effect.sync(() => assert.strictEqual(arrived.length, 1)),
          deadline
        )
        yield* withChannel((channel) => channel.deleteQueue(queue))
        const error = yield* Fiber.join(consumer)
        assert.deepStrictEqual([reasonOf(error), error.isRetryable], ["BrokerAway", true])
        assert.deepStrictEqual(warnings, [`${error.message}; subscribing again`])
        yield* settle(arrived)
        yield* ensureQueue(queue)
        yield* publish(queue, ["again"])
        assert.strictEqual((yield* take(queue, 1)).length, 1)
      })
    )
  )

  it.effect("of type quorum that give out a message again and again are warned about, once", () =>
    Effect.gen(function* () {
      const queue = `foreign-${randomUUID()}`
      const options = { durable: true, arguments: { "x-queue-type": "quorum" } }
      yield* withChannel((channel) => channel.assertQueue(queue, options))
      yield* publish(queue, ["comes back"])
      const warnings: Array<string> = []
      const attempts = yield* consuming(queue, 1).pipe(
        Stream.take(12),
        Stream.tap((delivery) => settle([delivery], delivery.attempt < 12 ? "return" : "done")),
        Stream.map(({ attempt }) => attempt),
        Stream.runCollect,
        Effect.provide(keepingWarnings(warnings))
      )
      assert.deepStrictEqual([...attempts], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
      assert.deepStrictEqual(warnings, [
        `queue ${queue} gives out a message for the 10th time; check its x-delivery-limit: at the limit the broker drops it`
      ])
    })
  )

  it.effect("follow their own dead-letter policy for what is refused, and for nothing else", () =>
    Effect.gen(function* () {
      const dead = yield* newQueue
      const queue = `foreign-${randomUUID()}`
      const options = { durable: true, deadLetterExchange: "", deadLetterRoutingKey: dead }
      yield* withChannel((channel) => channel.assertQueue(queue, options))
      yield* publish(queue, ["done", "reject", "done", "return"])
      const broker = yield* Broker
      yield* withDeliveries(queue, 4, (all) =>
        broker.settle(all.map((delivery) => ({ delivery, outcome: text(delivery.body) as "done" })))
      )
      yield* waitingIs(dead, 1)
      assert.deepStrictEqual(
        (yield* take(dead, 1)).map(({ body }) => text(body)),
        ["reject"]
      )
      assert.deepStrictEqual(
        (yield* take(queue, 1)).map(({ body }) => text(body)),
        ["return"]
      )
      yield* waitingIs(dead, 0)
    })
  )
})

describe("RabbitMQ", () => {
  const changed = (change: (url: URL) => void): string => {
    const url = new URL(inject("rabbitmqUrl"))
    change(url)
    return url.href
  }

  for (const [what, url] of [
    [
      "a wrong password",
      changed((url) => {
        url.password = "wrong"
      })
    ],
    [
      "a missing virtual host",
      changed((url) => {
        url.pathname = "/missing"
      })
    ]
  ] as const) {
    it.live(`refuses ${what} with an error that trying again will not mend, and that shows no password`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(ensureQueue("any"))
        assert.deepStrictEqual([reasonOf(error), error.isRetryable], ["BrokerRefused", false])
        assert.notInclude(error.message, new URL(url).password)
      }).pipe(Effect.provide(rabbitMq({ url })))
    )
  }

  it.live("ends a consumer with an error when the connection is cut, and can be used again when it heals", () =>
    Effect.gen(function* () {
      const { proxy, url } = yield* behind(inject("rabbitmqUrl"))
      yield* Effect.gen(function* () {
        const queue = yield* newQueue
        yield* publish(queue, ["unsettled"])
        const error = yield* Effect.flip(Stream.runForEach(consuming(queue), () => proxy.cut))
        assert.strictEqual(reasonOf(error), "BrokerAway")
        const broker = yield* Broker
        yield* eventually(
          Effect.map(broker.status, (status) => assert.strictEqual(status, "away")),
          deadline
        )
        yield* proxy.heal
        const [again] = yield* eventually(take(queue, 1), deadline)
        assert.deepStrictEqual([text(again?.body ?? bytes("")), again?.attempt], ["unsettled", 2])
        assert.strictEqual(yield* broker.status, "connected")
      }).pipe(Effect.provide(rabbitMq({ url })))
    })
  )

  for (const [what, opened] of [
    ["the connection", connectionOpenOk],
    ["a channel", confirmSelectOk]
  ] as const) {
    it.live(`is found again when it closes the connection in the moment in which it has opened ${what}`, () =>
      Effect.gen(function* () {
        const { proxy, url } = yield* behind(inject("rabbitmqUrl"))
        yield* Effect.gen(function* () {
          const queue = yield* Effect.provide(newQueue, rabbitMq())
          yield* proxy.addTo(opened, connectionClose)
          const error = yield* Effect.flip(publish(queue, ["one"]))
          assert.isTrue(error.isRetryable, error.message)
          yield* proxy.heal
          yield* publish(queue, ["two"])
          assert.deepStrictEqual(
            (yield* take(queue, 1)).map(({ body }) => text(body)),
            ["two"]
          )
        }).pipe(Effect.provide(rabbitMq({ url })))
      })
    )
  }

  it.live("is not waited for in vain when the connection is cut as a channel is being closed", () =>
    Effect.gen(function* () {
      const { proxy, url } = yield* behind(inject("rabbitmqUrl"))
      yield* Effect.gen(function* () {
        const queue = yield* newQueue
        const broker = yield* Broker
        yield* proxy.cutAt(channelClose)
        assert.strictEqual(yield* broker.depth(queue), 0)
        yield* proxy.heal
        yield* publish(queue, ["one"])
        assert.strictEqual((yield* take(queue, 1)).length, 1)
      }).pipe(Effect.provide(rabbitMq({ url })))
    })
  )
})

describe("The client of RabbitMQ", () => {
  it("has a socket where its writes are joined: elsewhere each message would leave by itself, unnoticed", async () => {
    const model = await connect(inject("rabbitmqUrl"))
    assert.instanceOf(socketOf(model), Duplex)
    await model.close()
  })
})
