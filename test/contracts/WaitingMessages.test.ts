/** Every store of waiting messages passes the contract. */
import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { leaseSeconds, WaitingMessages } from "../../src/domain/ports/WaitingMessages.ts"
import * as MemoryWaitingMessages from "../../src/layers/memory/MemoryWaitingMessages.ts"
import * as PostgresWaitingMessages from "../../src/layers/postgres/PostgresWaitingMessages.ts"
import { newDatabase } from "../support/Databases.ts"
import { type PostgresOptions, postgresClient } from "../support/Services.ts"
import { suite } from "./WaitingMessagesContract.ts"

const migrated = (options?: PostgresOptions) =>
  PostgresWaitingMessages.layer({ address: "the test's", migrateOnStart: true }).pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(newDatabase, (url) => postgresClient(url, options)))),
    Layer.tap((services) => Context.get(services, WaitingMessages).prepare)
  )

const letLapse = (group: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`UPDATE paystream_waiting_messages SET claimed_until = now() - interval '1 second'
      WHERE consumer_group = ${group} AND claimed_until IS NOT NULL`
  )

/** How far the memory's clock is ahead of ours. */
class Ahead extends Context.Service<Ahead, { millis: number }>()("test/Ahead") {}

// It takes the time from whoever asks: the asker's clock is put forward.
const memory = Layer.effectContext(
  Effect.gen(function* () {
    const ahead = { millis: 0 }
    const clock = yield* Clock.Clock
    const shifted: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead.millis,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + ahead.millis)
    })
    const store = yield* WaitingMessages
    const onShiftedClock = new Proxy(store, {
      get: (target, name, receiver) => {
        const member: unknown = Reflect.get(target, name, receiver)
        if (typeof member !== "function") return member
        return (...parameters: ReadonlyArray<unknown>) =>
          Effect.provideService(Reflect.apply(member, target, parameters), Clock.Clock, shifted)
      }
    })
    return Context.make(Ahead, ahead).pipe(Context.add(WaitingMessages, onShiftedClock))
  })
).pipe(Layer.provide(MemoryWaitingMessages.layer))

const putForward = Effect.map(Ahead, (ahead) => {
  ahead.millis += leaseSeconds * 1000 + 1
})

suite("memory", memory, () => putForward)
suite("PostgreSQL", migrated(), letLapse)
suite("PostgreSQL without prepared statements", migrated({ prepare: false }), letLapse)
