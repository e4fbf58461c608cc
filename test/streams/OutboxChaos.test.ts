/** Random schedules of writers, relays that die or freeze, and a broker that fails: on memory, with the test's clock. */
import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Random } from "effect"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import { elapse, makeBroker, options, ports, startRelay, type TestBroker } from "../support/OutboxStage.ts"

const runs = Number(process.env.OUTBOX_SCHEDULES ?? 10)
const firstSeed = process.env.OUTBOX_SEED ?? String(Math.trunc(Math.random() * 1e9))

/** What a writer did: its moments are counted by all that happens in the schedule. */
interface Appended {
  readonly id: string
  readonly key: string
  readonly begun: number
  readonly committed: number
}

const play = Effect.fnUntraced(function* (takesTogether: boolean) {
  const outbox = yield* Outbox
  const broker = yield* makeBroker({ takesTogether })
  const appended: Array<Appended> = []
  const rolledBack: Array<string> = []
  let moment = 0

  const write = Effect.gen(function* () {
    const fails = (yield* Random.next) < 0.15
    const openMillis = (yield* Random.next) < 0.3 ? yield* Random.nextIntBetween(0, 20_000) : 0
    const own: Array<Omit<Appended, "committed">> = []
    const work = Effect.gen(function* () {
      const events = yield* Random.nextIntBetween(1, 5)
      for (let n = 0; n < events; n++) {
        const key = `key-${yield* Random.nextIntBetween(0, 4)}`
        const begun = ++moment
        const id = yield* outbox.append({ topic: "events", key, payload: n })
        own.push({ id, key, begun })
        if ((yield* Random.next) < 0.1) broker.refusals.set(id, yield* Random.nextIntBetween(1, 2))
      }
      yield* Effect.sleep(Duration.millis(openMillis))
      if (fails) return yield* Effect.fail("rolled back")
    })
    yield* outbox.transaction(work).pipe(
      Effect.match({
        onSuccess: () => {
          const committed = ++moment
          for (const one of own) appended.push({ ...one, committed })
        },
        onFailure: () => void rolledBack.push(...own.map(({ id }) => id))
      })
    )
  })

  let relays = [yield* startRelay("relay-0", broker), yield* startRelay("relay-1", broker)]
  const writers: Array<Fiber.Fiber<void, unknown>> = []
  for (let step = 0; step < 60; step++) {
    writers.push(yield* Effect.forkChild(write, { startImmediately: true }))
    const chance = yield* Random.next
    const index = yield* Random.nextIntBetween(0, relays.length - 1)
    const [relay] = relays.slice(index)
    if (relay !== undefined && chance < 0.12) {
      yield* relay.kill
      const next = yield* startRelay(`relay-${step + 2}`, broker)
      relays = relays.map((one) => (one === relay ? next : one))
    } else if (relay !== undefined && chance < 0.25) yield* relay.freeze
    else if (relay !== undefined && chance < 0.4) yield* relay.thaw
    else if (chance < 0.5) broker.become("away")
    else if (chance < 0.55) broker.become("lost")
    else if (chance < 0.8) broker.become("well")
    yield* elapse(Duration.millis(yield* Random.nextIntBetween(0, 2000)))
  }
  broker.become("well")
  for (const relay of relays) yield* relay.thaw
  yield* elapse("3 minutes")
  yield* Effect.forEach(writers, Fiber.join, { discard: true })
  yield* Effect.forEach(relays, (relay) => relay.stop, { discard: true })
  const rest = yield* outbox.list(options.rules, { onlyDead: false, limit: 100 })
  assert.deepStrictEqual(rest, [], "events that are left")
  check(broker, appended, rolledBack)
  const stats = yield* outbox.stats(options.rules)
  assert.deepStrictEqual([stats.pending, stats.failing, stats.held, stats.dead], [0, 0, 0, 0])
})

const check = ({ published }: TestBroker, appended: ReadonlyArray<Appended>, rolledBack: ReadonlyArray<string>) => {
  const first = new Map<string, number>()
  for (const [place, { id }] of published.entries()) if (!first.has(id)) first.set(id, place)
  assert.isAbove(appended.length, 20)
  for (const { id } of appended) assert.isTrue(first.has(id), `event ${id} was committed and not published`)
  for (const id of rolledBack) assert.isFalse(first.has(id), `event ${id} was rolled back and published`)
  for (const one of appended) {
    for (const other of appended) {
      if (one.key !== other.key || one.committed >= other.begun) continue
      const inOrder = (first.get(one.id) ?? 0) < (first.get(other.id) ?? 0)
      assert.isTrue(inOrder, `${other.id} of ${one.key} was begun after the commit of ${one.id}, and overtook it`)
    }
  }
}

for (const takesTogether of [false, true]) {
  it.effect(
    `In ${runs} random schedules every committed event is published, in order per key, and none that was rolled back (a broker that takes a key's messages ${takesTogether ? "together" : "one by one"})`,
    () =>
      Effect.gen(function* () {
        console.log(`OUTBOX_SEED=${firstSeed}`)
        for (let run = 0; run < runs; run++) {
          const seed = `${firstSeed}-${run}`
          yield* Effect.scoped(play(takesTogether)).pipe(
            Effect.provide(ports, { local: true }),
            Random.withSeed(seed),
            Effect.onError(() => Effect.sync(() => console.log(`the schedule of seed ${seed} fails`)))
          )
        }
      }),
    { timeout: 120_000 }
  )
}
