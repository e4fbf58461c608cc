/** What a consumer of the embedded broker holds: its own while it lives, and somebody else's after. */
import { join } from "node:path"
import { assert, layer } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { Broker, type Delivery } from "../../../src/domain/ports/Broker.ts"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"
import {
  collect,
  freshQueue,
  numbered,
  servers,
  settle,
  sql,
  takeOne,
  untilLength
} from "../../support/EmbeddedStage.ts"
import { message } from "../../support/Messages.ts"
import { eventually } from "../../support/servers/eventually.ts"
import * as Program from "../../support/servers/Program.ts"

const untilAtLeast = (arrived: ReadonlyArray<unknown>, length: number) =>
  eventually(
    Effect.sync(() => assert.isAtLeast(arrived.length, length)),
    { deadline: "30 seconds", every: "1 millis" }
  )

layer(servers, { excludeTestServices: true, timeout: "60 seconds" })(
  "What a consumer of the embedded broker holds",
  (it) => {
    it.effect("is given back when the stream closes, as far as it is not settled", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const queue = yield* freshQueue
        yield* broker.publish(numbered(queue, 100))
        const late = yield* Effect.scoped(Effect.tap(collect(queue, 50), (arrived) => untilLength(arrived, 50)))
        assert.strictEqual(yield* broker.depth(queue), 100)
        // settled too late: it is the next consumer's by now
        yield* settle(late[0] as Delivery, "done")
        const arrived = yield* collect(queue, 100)
        yield* untilLength(arrived, 100)
        assert.strictEqual(arrived.filter(({ attempt }) => attempt === 2).length, 50)
      })
    )

    it.effect("is all given back, at whatever moment the stream closes", () =>
      Effect.gen(function* () {
        const broker = yield* Broker
        const queue = yield* freshQueue
        yield* broker.publish(numbered(queue, 200))
        for (let round = 0; round < 40; round++) {
          yield* Effect.scoped(Effect.tap(collect(queue, 20 + round), (arrived) => untilAtLeast(arrived, round % 20)))
          assert.strictEqual(yield* broker.depth(queue), 200)
        }
      })
    )

    it.effect("stays its own for as long as it takes: its claim is renewed", () =>
      Effect.gen(function* () {
        const queue = yield* freshQueue
        yield* (yield* Broker).publish([message(queue)])
        yield* takeOne(queue)
        const other = yield* collect(queue, 1)
        yield* sql(
          `UPDATE paystream_broker.job SET heartbeat_on = now() - interval '3500 milliseconds' WHERE name = '${queue}'`
        )
        const age = sql(
          `SELECT now() - heartbeat_on < interval '3 seconds' AS renewed FROM paystream_broker.job WHERE name = '${queue}'`
        )
        yield* eventually(
          Effect.map(age, (rows) => assert.deepStrictEqual(rows, [{ renewed: true }])),
          { deadline: "30 seconds" }
        )
        assert.strictEqual(other.length, 0)
      })
    )

    for (const runtime of ["bun", "node"] as const) {
      it.effect(`is delivered again when its process on ${runtime} was killed`, () =>
        Effect.gen(function* () {
          const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
          const queue = yield* freshQueue
          yield* (yield* Broker).publish(numbered(queue, 20))
          const main = join(import.meta.dirname, "holdDeliveries.ts")
          const holder = yield* Program.start({ runtime, main, args: [Redacted.value(url), queue, "20"] })
          yield* holder.waitForLine(/^taken 20/)
          yield* holder.kill("SIGKILL")
          const arrived = yield* collect(queue, 20)
          yield* untilLength(arrived, 20)
          assert.deepStrictEqual(new Set(arrived.map(({ attempt }) => attempt)), new Set([2]))
        })
      )
    }
  }
)
