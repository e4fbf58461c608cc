/** The embedded broker whose database is away, or does not let it in. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Redacted, Scope, Stream } from "effect"
import { Broker } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedBroker from "../../../src/layers/embedded/EmbeddedBroker.ts"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"
import { dataFolder, keepPort } from "../../support/EmbeddedStage.ts"
import { message } from "../../support/Messages.ts"
import { eventually } from "../../support/servers/eventually.ts"

describe("EmbeddedBroker without its database", () => {
  const build = (url: Redacted.Redacted) =>
    Effect.map(Layer.build(EmbeddedBroker.layerOn({ url })), (context) => Context.get(context, Broker))

  it.live("says that it is away, and works again when the database is back", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      yield* keepPort(dataDirectory)
      const server = yield* Scope.make()
      const { url } = yield* Scope.provide(EmbeddedPostgres.start({ dataDirectory }), server)
      const broker = yield* build(url)
      yield* broker.ensureQueue("payments")
      yield* broker.publish([message("payments")])
      const consume = broker.deliveries({ _tag: "Queue", name: "payments" }, { prefetch: 1 })
      const failure = yield* Effect.forkScoped(Effect.flip(Stream.runDrain(consume)))
      yield* eventually(
        Effect.map(broker.depth("payments"), (depth) => assert.strictEqual(depth, 0)),
        { deadline: "30 seconds" }
      )
      assert.strictEqual(yield* broker.status, "connected")

      yield* Scope.close(server, Exit.void)
      assert.strictEqual((yield* Fiber.join(failure)).reason._tag, "BrokerAway")
      assert.strictEqual((yield* Effect.flip(broker.publish([message("payments")]))).reason._tag, "BrokerAway")
      assert.strictEqual(yield* broker.status, "away")

      yield* EmbeddedPostgres.start({ dataDirectory })
      assert.strictEqual(yield* broker.status, "connected")
      const [again] = yield* Stream.runCollect(Stream.take(consume, 1)).pipe(Effect.timeout("20 seconds"))
      assert.strictEqual(again?.attempt, 2)
    })
  )

  it.live("is refused for good with a wrong password, which it does not repeat", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.start({ dataDirectory: yield* dataFolder })
      const wrong = Redacted.make(Redacted.value(url).replace(/:[^:@]*@/, ":open-sesame@"))
      const error = yield* Effect.flip(build(wrong))
      assert.strictEqual(error.reason._tag, "BrokerRefused")
      assert.notInclude(error.message, "open-sesame")
    })
  )

  it.live("waits at start until the database is there", () =>
    Effect.gen(function* () {
      const dataDirectory = yield* dataFolder
      yield* keepPort(dataDirectory)
      const { url } = yield* Effect.scoped(EmbeddedPostgres.start({ dataDirectory }))
      const building = yield* Effect.forkScoped(build(url))
      yield* EmbeddedPostgres.start({ dataDirectory })
      const broker = yield* Fiber.join(building).pipe(Effect.timeout("20 seconds"))
      assert.strictEqual(yield* broker.status, "connected")
    })
  )
})
