/** Relays that are killed and frozen, with their servers restarted: every committed event comes, in the order of its key. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import * as Ground from "../support/OutboxGround.ts"
import { OwnServers } from "../support/OwnServers.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"

const onOwnServers = Effect.flatMap(OwnServers, ({ postgres, rabbitMq }) =>
  Effect.flatMap(postgres.createDatabase(`outbox-${randomUUID()}`), (url) => Ground.make(rabbitMq.url, url))
)

const unpublished = (ground: Ground.Ground) =>
  eventually(
    Effect.map(
      Ground.sql(ground, "SELECT count(*)::int AS count FROM outbox_events WHERE published_at IS NULL"),
      ([row]) => Number(row?.count)
    ),
    { deadline: "30 seconds" }
  )

/** What else happens in a round while the relays run; nothing in most. */
const disturbance = (round: number) =>
  Effect.flatMap(OwnServers, ({ postgres, rabbitMq }) => {
    if (round % 5 === 2) return rabbitMq.restart
    return round % 5 === 3 ? postgres.restart : Effect.void
  })

/** One round: a relay is killed or frozen beyond its lease, another takes over; true if work was under way by then. */
const playRound = Effect.fnUntraced(function* (ground: Ground.Ground, round: number) {
  const relay = yield* Ground.startRelay(ground, Chaos.runtimeOf(round), { OUTBOX_BATCH_SIZE: "20" })
  yield* relay.waitForLine(/connected to RabbitMQ/, { deadline: "60 seconds" })
  const trouble = yield* Effect.forkChild(disturbance(round), { startImmediately: true })
  yield* realSleep(yield* Random.nextIntBetween(1500, 3000))
  const freezes = round % 2 === 1
  yield* relay.kill(freezes ? "SIGSTOP" : "SIGKILL")
  const waiting = yield* unpublished(ground)
  // longer than its lease, and than what another needs to take over
  if (freezes) yield* Effect.andThen(realSleep("4 seconds"), relay.kill("SIGCONT"))
  if (freezes) yield* realSleep(yield* Random.nextIntBetween(100, 1000))
  yield* relay.kill("SIGKILL")
  yield* relay.exit
  yield* Fiber.join(trouble)
  return waiting > 0
}, Effect.scoped)

layer(OwnServers.layer, { excludeTestServices: true, timeout: "60 seconds" })("relays that are killed", (it) => {
  it.effect(
    `or frozen at ${Chaos.rounds} random moments, with their servers restarted, lose nothing and keep every key's order`,
    () =>
      Effect.gen(function* () {
        const ground = yield* onOwnServers
        const queue = yield* Ground.keepAll(ground)
        const writer = yield* Ground.startWriter(ground)
        // One that lives on beside those that die: relays overlap all the time.
        const steady = yield* Ground.startRelay(ground, "bun", { OUTBOX_BATCH_SIZE: "20" })
        let counted = 0
        for (let attempt = 0; counted < Chaos.rounds && attempt < Chaos.rounds * 3; attempt++) {
          if (yield* playRound(ground, counted)) counted++
        }
        assert.strictEqual(counted, Chaos.rounds, "rounds with events to be published at the kill")
        yield* writer.stop
        yield* Ground.waitUntilPublished(ground)
        yield* steady.kill("SIGTERM")
        assert.strictEqual(yield* steady.exit, 0, steady.stderr.join("\n"))
        const found = yield* Ground.arrivals(ground, queue)
        const repeats = Ground.checkArrivals(found, writer)
        console.log(`${found.length} arrivals, ${repeats} of them repeats`)
        assert.isAbove(writer.count(), 100)
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: (Chaos.rounds + 2) * 40_000 }
  )
})
