import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import { OwnServers, stage as ownStage } from "../support/OwnServers.ts"
import * as Queues from "../support/Queues.ts"
import * as Stage from "../support/Stage.ts"
import * as SteadyPublisher from "../support/SteadyPublisher.ts"
import { eventually, realSleep } from "../support/servers/eventually.ts"
import type { Runtime } from "../support/servers/Program.ts"

/** Small batches: many moments between commit and acknowledgement, and more work than a round gets done. */
const env = { BATCH_SIZE: "5", LOG_LEVEL: "debug" }

const isDisturbed = (round: number) => [1, 3, 4].includes(round % 5)

/** What else happens in a round, while the worker runs; nothing in most. */
const disturbance = (round: number) =>
  Effect.flatMap(OwnServers, ({ postgres, rabbitMq }) => {
    switch (round % 5) {
      case 1:
        return postgres.restart
      case 3:
        return rabbitMq.restart
      case 4:
        return Effect.andThen(postgres.kill, postgres.start)
      default:
        return Effect.void
    }
  })

/** The ids of what is settled for sure: their rows are there. */
const storedIds = (stage: Stage.Stage) =>
  eventually(
    Effect.map(Stage.rows(stage), (rows) => rows.map((row) => row.message_id ?? "")),
    { deadline: "30 seconds" }
  )

/** One round: a worker stores some and is killed; true if unsettled messages were waiting at that moment. */
const playRound = Effect.fnUntraced(function* (
  stage: Stage.Stage,
  publisher: SteadyPublisher.SteadyPublisher,
  round: number,
  runtime: Runtime
) {
  const worker = yield* Stage.start(stage, { runtime, env })
  yield* worker.waitForLine(/"batch"/, { deadline: "60 seconds" })
  const trouble = yield* Effect.forkChild(disturbance(round), { startImmediately: true })
  // not a wait but the moment of the crash: amid batches, or while the worker finds a server gone or back
  const within = isDisturbed(round) ? 4000 : 100
  yield* realSleep(yield* Random.nextIntBetween(0, within))
  const confirmed = [...publisher.valid]
  yield* worker.kill("SIGKILL")
  assert.strictEqual(yield* worker.exit, 128 + 9)
  yield* Fiber.join(trouble)
  const stored = new Set(yield* storedIds(stage))
  return confirmed.some((id) => !stored.has(id))
})

layer(OwnServers.layer, { excludeTestServices: true, timeout: "60 seconds" })("a worker that is killed", (it) => {
  it.effect(
    `at ${Chaos.rounds} random moments, with its servers restarted, loses nothing and doubles nothing`,
    () =>
      Effect.gen(function* () {
        const stage = yield* ownStage
        const publisher = yield* SteadyPublisher.start(stage)
        let counted = 0
        for (let attempt = 0; counted < Chaos.rounds && attempt < Chaos.rounds * 3; attempt++) {
          if (yield* playRound(stage, publisher, counted, Chaos.runtimeOf(counted))) counted++
        }
        assert.strictEqual(counted, Chaos.rounds, "rounds with unsettled messages at the kill")
        yield* publisher.stop
        assert.strictEqual((yield* Stage.drain(stage, { runtime: "bun" })).code, 0)

        const stored = yield* storedIds(stage)
        const setAside = (yield* Stage.takeDeadLetters(stage)).map(Queues.idOf)
        assert.deepStrictEqual([...stored].sort(), [...publisher.valid].sort())
        assert.deepStrictEqual([...new Set(setAside)].sort(), [...publisher.invalid].sort())
        assert.strictEqual(yield* Stage.depth(stage), 0)
      }).pipe(Effect.scoped, Chaos.seeded),
    { timeout: (Chaos.rounds + 2) * 40_000 }
  )
})
