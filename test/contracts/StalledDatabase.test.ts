/** A PostgreSQL that no longer answers on the connections that there are, though they stay open; on new ones it does. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Layer, Redacted, Schedule, Stream } from "effect"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { PaymentStore } from "../../src/domain/ports/PaymentStore.ts"
import { WorkerRuns } from "../../src/domain/ports/WorkerRuns.ts"
import * as PostgresOutbox from "../../src/layers/postgres/PostgresOutbox.ts"
import * as PostgresWorkerRuns from "../../src/layers/postgres/PostgresWorkerRuns.ts"
import { behind } from "../support/Behind.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import type { TcpProxy } from "../support/servers/TcpProxy.ts"

/** Longer than any statement may take, and the end of its connection. */
const deadline = "40 seconds"

const options = { address: "the test's database", migrateOnStart: true }

/** Does something by way of a proxy in front of a database of its own. */
const through = <A, E>(use: (proxy: TcpProxy) => Effect.Effect<A, E, Outbox | WorkerRuns>) =>
  Effect.gen(function* () {
    const { proxy, url } = yield* behind(Redacted.value(yield* newDatabase))
    const stores = Layer.mergeAll(PostgresOutbox.layer(options), PostgresWorkerRuns.layer(options)).pipe(
      Layer.provideMerge(postgresPaymentStore(Redacted.make(url)))
    )
    return yield* Effect.provide(
      Effect.andThen(
        PaymentStore.use(({ prepare }) => prepare),
        use(proxy)
      ),
      stores
    )
  })

const share = {
  run: { id: "run", queue: "q", maxMessages: 10 },
  holder: crypto.randomUUID(),
  lease: Duration.minutes(1)
}

const append = Effect.flatMap(Outbox, (outbox) => outbox.append({ topic: "a", payload: {} }))

describe("A PostgreSQL that no longer answers", { concurrent: true }, () => {
  it.live("keeps nobody waiting for ever who begins a transaction", () =>
    through((proxy) =>
      Effect.gen(function* () {
        const { claim } = yield* WorkerRuns
        yield* claim(share)
        yield* proxy.stall
        const error = yield* Effect.flip(Effect.timeout(claim(share), deadline))
        assert.strictEqual(error._tag, "StoreError")
        assert.strictEqual((yield* claim(share)).left, 10)
      })
    )
  )

  it.live("keeps nobody waiting for ever who appends to the outbox in one", () =>
    through((proxy) =>
      Effect.gen(function* () {
        const { transaction } = yield* Outbox
        const error = yield* Effect.flip(Effect.timeout(transaction(Effect.andThen(proxy.stall, append)), deadline))
        assert.strictEqual(error._tag, "StoreError")
        yield* transaction(append)
      })
    )
  )

  it.live("keeps nobody waiting for ever who commits one", () =>
    through((proxy) =>
      Effect.gen(function* () {
        const { transaction } = yield* Outbox
        const error = yield* Effect.flip(Effect.timeout(transaction(Effect.andThen(append, proxy.stall)), deadline))
        assert.strictEqual(error._tag, "StoreError")
        yield* transaction(append)
      })
    )
  )

  it.live("keeps nobody waiting for ever who no longer listens", () =>
    through((proxy) =>
      Effect.gen(function* () {
        const { hints, transaction } = yield* Outbox
        const heard = yield* Latch.make(false)
        const listening = yield* Effect.forkChild(Stream.runForEach(hints, () => heard.open))
        const appending = Effect.repeat(transaction(append), Schedule.spaced("50 millis"))
        yield* Effect.raceFirst(heard.await, appending)
        yield* proxy.stall
        yield* Effect.timeout(Fiber.interrupt(listening), deadline)
      })
    )
  )
})
