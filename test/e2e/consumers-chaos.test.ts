/** Topic workers that are killed under work, on each broker: nothing is lost, and every input has one effect. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as Chaos from "../support/Chaos.ts"
import * as ConsumerGrounds from "../support/ConsumerGrounds.ts"
import * as ConsumerStage from "../support/ConsumerStage.ts"
import type { Child } from "../support/servers/Child.ts"
import { eventually } from "../support/servers/eventually.ts"
import type { Runtime } from "../support/servers/Program.ts"

/** Kafka and the embedded broker hold back what a killed process had for seconds: half as many show the same. */
const roundsOf = (broker: string) => (broker === "RabbitMQ" ? Chaos.rounds : Chaos.halfTheRounds)

/** A part of them is handled before the kill, and some are left for those who come after. */
const perRound = 300

const sorted = (all: Iterable<number>) => [...all].sort((one, other) => one - other)

/** Stops a process with work in its hands; one that has none left is left as it is. */
const freezeAtWork = (stage: ConsumerStage.Stage, { kill, pid }: Child) =>
  Effect.gen(function* () {
    yield* kill("SIGSTOP")
    if ((yield* stage.inHand(pid)) > 0) return
    yield* kill("SIGCONT")
    return yield* Effect.fail("it has nothing in its hands")
  }).pipe((frozen) => Effect.ignore(eventually(frozen, { deadline: "5 seconds", every: "5 millis" })))

/** Kills a worker after a random part of its work; whether it had something in its hands. */
const killAtWork = Effect.fnUntraced(function* (stage: ConsumerStage.Stage, runtime: Runtime) {
  const victim = yield* stage.start(runtime, "relay")
  yield* stage.hasBegun(victim.pid, yield* Random.nextIntBetween(1, perRound - 50))
  yield* Effect.andThen(freezeAtWork(stage, victim), victim.kill("SIGKILL"))
  assert.strictEqual(yield* victim.exit, 128 + 9)
  return (yield* stage.inHand(victim.pid)) > 0
})

for (const [broker, ground] of Object.entries(ConsumerGrounds.shared)) {
  const rounds = roundsOf(broker)
  describe.concurrent(`--mode=consumers on ${broker}`, () => {
    it.live(
      `killed at ${rounds} random moments loses no input, and the worker after it has one effect of each`,
      () =>
        Effect.gen(function* () {
          const stage = yield* ConsumerStage.make(yield* ground)
          const downstream = yield* stage.start("node", "effects")
          let published = 0
          let counted = 0
          for (let attempt = 0; counted < rounds && attempt < rounds * 3; attempt++) {
            yield* stage.publish(ConsumerStage.mixed(published, perRound))
            published += perRound
            if (yield* killAtWork(stage, Chaos.runtimeOf(counted))) counted++
          }
          assert.strictEqual(counted, rounds, "rounds with work in hand at the kill")
          yield* stage.start("bun", "relay")
          yield* ConsumerStage.assertOutputs(stage, ConsumerStage.numbers(published))
          yield* eventually(
            Effect.map(stage.effects, (effects) =>
              assert.deepStrictEqual(sorted(effects), ConsumerStage.numbers(published))
            ),
            { deadline: "90 seconds", every: "100 millis" }
          )
          yield* downstream.kill("SIGTERM")
          assert.strictEqual(yield* downstream.exit, 0)
          assert.deepStrictEqual(sorted(yield* stage.effects), ConsumerStage.numbers(published))
        }).pipe(Chaos.seeded),
      { timeout: 300_000 + rounds * 30_000 }
    )
  })
}
