/**
 * The payment service under fire: its processes killed, its servers restarted, its provider unsure. Whatever happens, no
 * payment is charged twice and none is forgotten, and the books agree.
 */
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import { OwnServers } from "../support/OwnServers.ts"
import * as PaymentBooks from "../support/PaymentBooks.ts"
import * as Town from "../support/PaymentTown.ts"
import type { FaultRule } from "../support/provider/Faults.ts"
import type { Child } from "../support/servers/Child.ts"
import { realSleep } from "../support/servers/eventually.ts"

/** Most of them are charged, as in life. */
const methods = [
  "pm_card_visa",
  "sandbox_timeout_charged",
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "pm_card_visa",
  "sandbox_timeout",
  "pm_card_visa",
  "sandbox_twice",
  "pm_card_visa",
  "sandbox_error"
]

/** What the provider does to some requests, again and again. */
const faults: ReadonlyArray<FaultRule> = [
  { fault: "timeout_after", operation: "confirm", every: 9, times: null },
  { fault: "cut_after", operation: "confirm", every: 7, times: null },
  { fault: "error_after", operation: "confirm", every: 11, times: null },
  { fault: "cut_after", operation: "prepare", every: 8, times: null },
  { fault: "timeout_after", operation: "refund", every: 3, times: null },
  { fault: "cut_after", operation: "cancel", every: 3, times: null },
  { fault: "limited", operation: "confirm", every: 13, times: null, seconds: 1 },
  { fault: "error", operation: "retrieve", every: 5, times: null }
]

/** Who is killed in a round. */
const victims: ReadonlyArray<ReadonlyArray<Town.PartName>> = [
  ["commands"],
  ["api"],
  ["commands", "outbox"],
  ["outbox"],
  ["api", "outbox", "commands"]
]

/** Which server fails in a round beside that. */
const disturbance = (round: number) =>
  Effect.gen(function* () {
    const { postgres, rabbitMq } = yield* OwnServers
    const { provider, redis } = yield* Town.Provider
    const lostRedis = redis.send("FLUSHALL").pipe(Effect.andThen(redis.kill), Effect.andThen(redis.start))
    // its books are on disk; the faults are not, and what they would have done is done by then
    const lostProvider = provider.kill.pipe(Effect.andThen(provider.start), Effect.andThen(unsure))
    const all = [Effect.void, rabbitMq.restart, postgres.restart, lostRedis, lostProvider]
    yield* all[round % all.length] ?? Effect.void
  })

const unsure = Effect.gen(function* () {
  const { provider } = yield* Town.Provider
  yield* Effect.forEach(faults, provider.fault, { discard: true })
})

/** Connections to the provider break now and then, with whatever is on its way. */
const breakConnections = Effect.gen(function* () {
  const { proxy } = yield* Town.Provider
  while (true) {
    yield* realSleep(yield* Random.nextIntBetween(500, 2000))
    yield* proxy.cut
    yield* realSleep(yield* Random.nextIntBetween(10, 200))
    yield* proxy.heal
  }
}).pipe(Effect.ensuring(Effect.flatMap(Town.Provider, ({ proxy }) => proxy.heal)))

/** Some payments, asked for within a second. */
const askSome = (town: Town.Town, name: string, count: number) =>
  Effect.forEach(
    Array.from({ length: count }, (_, index) => index),
    (index) =>
      Effect.gen(function* () {
        yield* realSleep(yield* Random.nextIntBetween(0, 1000))
        const method = methods[index % methods.length] ?? "pm_card_visa"
        return yield* Town.ask(town, { key: `${name}-${index}`, method })
      }),
    { concurrency: "unbounded" }
  )

type Running = Record<Town.PartName, Child>

const perRound = 40

/** One round: payments are asked for, and somebody is killed in the midst of it; whether payments were under way then. */
const playRound = Effect.fnUntraced(function* (town: Town.Town, running: Running, round: number, name: string) {
  const asking = yield* Effect.forkChild(askSome(town, name, perRound), { startImmediately: true })
  const trouble = yield* Effect.forkChild(disturbance(round), { startImmediately: true })
  yield* realSleep(yield* Random.nextIntBetween(200, 1500))
  yield* Town.repeatCommands(town, 10)
  const killed = victims[round % victims.length] ?? []
  yield* Effect.forEach(killed, (part) => Town.kill(running[part]), { concurrency: "unbounded" })
  const left = yield* Town.unfinished(town)
  for (const part of killed) running[part] = yield* Town.start(town, part, Chaos.runtimeOf(round + 1))
  yield* Fiber.join(trouble)
  const asked = yield* Fiber.join(asking)
  yield* Effect.forEach(yield* Town.succeeded(town, 3), (id) => Town.askRefund(town, id), { discard: true })
  yield* Town.repeatCommands(town, 10)
  return { asked, left }
})

layer(Town.servers, { excludeTestServices: true, timeout: "90 seconds" })("payments under fire", (it) => {
  it.effect(
    `killed at ${Chaos.rounds} random moments, with servers restarted and a provider that is unsure, are charged once and end`,
    () =>
      Effect.gen(function* () {
        const town = yield* Town.make
        const running: Running = {
          commands: yield* Town.startReady(town, "commands", "node"),
          outbox: yield* Town.start(town, "outbox", "node"),
          api: yield* Town.start(town, "api", "node")
        }
        // One that lives on: relays overlap all the time.
        const steady = yield* Town.start(town, "outbox", "bun")
        yield* unsure
        const breaking = yield* Effect.forkChild(breakConnections)
        const ids: Array<string> = []
        let counted = 0
        for (let attempt = 0; counted < Chaos.rounds && attempt < Chaos.rounds * 3; attempt++) {
          const { asked, left } = yield* playRound(town, running, counted, `${attempt}`)
          ids.push(...asked)
          if (left > 0) counted++
        }
        assert.strictEqual(counted, Chaos.rounds, "rounds with payments under way at the kill")
        yield* Fiber.interrupt(breaking)
        yield* Effect.flatMap(Town.Provider, ({ provider }) => provider.clearFaults)
        yield* PaymentBooks.check(town, ids)
        yield* Effect.forEach([...Object.values(running), steady], Town.stop, { concurrency: "unbounded" })
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: 240_000 + Chaos.rounds * 60_000 }
  )

  it.effect(
    `processed within the request by an API that is killed ${Chaos.halfTheRounds} times, are charged once and end`,
    () =>
      Effect.gen(function* () {
        const town = yield* Town.make
        const relay = yield* Town.start(town, "outbox", "bun")
        const env = { ENABLE_ASYNC_COMMANDS: "false", API_PAYMENT_TIMEOUT_SECONDS: "5" }
        yield* unsure
        const ids: Array<string> = []
        let counted = 0
        let api = yield* Town.startReady(town, "api", "node", env)
        for (let attempt = 0; counted < Chaos.halfTheRounds && attempt < Chaos.halfTheRounds * 3; attempt++) {
          const asking = yield* Effect.forkChild(askSome(town, `${attempt}`, perRound), { startImmediately: true })
          yield* realSleep(yield* Random.nextIntBetween(200, 1500))
          yield* Town.kill(api)
          // nobody knows any more which keys the dead one held: clients need not wait for its leases
          yield* Effect.flatMap(Town.Provider, ({ redis }) => redis.send("FLUSHALL"))
          if ((yield* Town.unfinished(town)) > 0) counted++
          api = yield* Town.start(town, "api", Chaos.runtimeOf(attempt), env)
          ids.push(...(yield* Fiber.join(asking)))
        }
        assert.strictEqual(counted, Chaos.halfTheRounds, "rounds with payments under way at the kill")
        yield* Effect.flatMap(Town.Provider, ({ provider }) => provider.clearFaults)
        yield* PaymentBooks.check(town, ids)
        yield* Effect.forEach([api, relay], Town.stop, { concurrency: "unbounded" })
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: 240_000 + Chaos.halfTheRounds * 60_000 }
  )

  it.effect(
    "a thousand concurrent requests with a hundred keys to two APIs, one of them killed, charge a hundred payments once",
    () =>
      Effect.gen(function* () {
        const town = yield* Town.make
        const [first, second] = town.ports
        // so many at once take their time on a machine that does other things too: nobody gives up
        const patient = { PAYMENT_GIVE_UP_AFTER: "10 minutes", GATEWAY_TIMEOUT_SECONDS: "60" }
        const commands = yield* Town.startReady(town, "commands", "bun", patient)
        const relay = yield* Town.start(town, "outbox", "bun")
        const env = { API_PUBLISH_TIMEOUT_SECONDS: "20" }
        const killed = yield* Town.startReady(town, "api", "bun", env)
        const other = yield* Town.startReady(town, "api", "node", { ...env, PORT: `${second}` })
        const asking = yield* Effect.forkChild(
          Effect.forEach(
            Array.from({ length: 1000 }, (_, index) => index),
            (index) => {
              const key = `key-${index % 100}`
              return Town.ask(town, { key, method: "pm_card_visa", port: index % 3 === 0 ? first : second })
            },
            { concurrency: "unbounded" }
          ),
          { startImmediately: true }
        )
        yield* realSleep(yield* Random.nextIntBetween(500, 1500))
        yield* Town.kill(killed)
        const again = yield* Town.start(town, "api", "node", env)
        const ids = yield* Fiber.join(asking)
        assert.strictEqual(new Set(ids).size, 100)
        const payments = yield* PaymentBooks.check(town, ids)
        assert.deepStrictEqual([...new Set(payments.map(({ status }) => status))], ["succeeded"])
        yield* Effect.forEach([commands, relay, other, again], Town.stop, { concurrency: "unbounded" })
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: 300_000 }
  )
})
