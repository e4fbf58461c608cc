/** Where topic workers play as processes, on any broker: topics of their own, and somebody who sees what comes out. */
import { randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import { Array as Arr, Effect, Schedule, Stream } from "effect"
import { Broker, type Subscription } from "../../src/domain/ports/Broker.ts"
import type { Ground } from "./ConsumerGrounds.ts"
import { bytes, text } from "./Messages.ts"
import { eventually } from "./servers/eventually.ts"
import * as Program from "./servers/Program.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"
import { content } from "./TopicSteps.ts"

/** The path of a module of workers for tests. */
export const moduleOf = (name: string): string => fileURLToPath(new URL(`workers/${name}.ts`, import.meta.url))

export interface Input {
  readonly n: number
  readonly does?: "kills" | "exits" | "fails once" | "is slow"
}

const linesOf = (file: string) => (existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [])

/** All ids that came with each number, in a map that grows. */
const watch = Effect.fnUntraced(function* (subscription: Subscription) {
  const broker = yield* Broker
  const seen = new Map<number, Set<string | undefined>>()
  const consumed = Stream.runForEachArray(broker.deliveries(subscription, { prefetch: 500 }), (deliveries) =>
    Effect.suspend(() => {
      for (const { body, id } of deliveries) {
        const { n } = JSON.parse(text(body))
        seen.set(n, (seen.get(n) ?? new Set()).add(id))
      }
      return broker.settle(deliveries.map((delivery) => ({ delivery, outcome: "done" })))
    })
  )
  // its broker may be restarted
  yield* Effect.forkScoped(Effect.retry(consumed, Schedule.spaced("100 millis")))
  return seen
})

/** A stage on a broker: groups begin with what is published from now on. */
export const make = Effect.fnUntraced(function* (ground: Ground) {
  const name = `stage-${randomUUID()}`
  const folder = yield* temporaryFolder("stage")
  const [effectsFile, journalFile] = [join(folder, "effects"), join(folder, "journal")]
  const env = { ...ground.env, STAGE: name, EFFECTS_FILE: effectsFile, JOURNAL_FILE: journalFile, HEALTH_PORT: "0" }
  const run = (runtime: Program.Runtime, args: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) =>
    Program.start({ runtime, args: [...args, `--workers=${moduleOf("relay")}`], env: { ...env, ...more } })
  const migrated = yield* run("bun", ["--mode=migrate", "--topics"])
  assert.strictEqual(yield* migrated.exit, 0, migrated.stderr.join("\n"))

  const { broker } = ground
  const subscribe = (topic: string, group: string) =>
    Effect.provide(
      Broker.use((port) => port.subscribe(`${name}.${topic}`, group)).pipe(
        // a Kafka of just now has not chosen who keeps the groups yet
        Effect.retry({ while: ({ isRetryable }) => isRetryable, schedule: Schedule.spaced("200 millis"), times: 150 })
      ),
      broker
    )
  yield* subscribe("in", "relay")
  yield* subscribe("out", "effects")
  const seen = yield* Effect.provide(watch(yield* subscribe("out", "seen")), broker)

  const noted = (what: string, pid: number) => Arr.countBy(linesOf(journalFile), (line) => line === `${what} ${pid}`)
  return {
    start: (runtime: Program.Runtime, worker: string, more?: Readonly<Record<string, string>>) =>
      run(runtime, ["--mode=consumers", `--worker=${worker}`], more),
    publish: (all: ReadonlyArray<Input>, headers: Readonly<Record<string, unknown>> = {}) =>
      Broker.use((port) =>
        port.publishToTopics(
          all.map((input) => ({
            ...content({ id: `input-${input.n}`, body: bytes(JSON.stringify(input)), headers }),
            topic: `${name}.in`
          }))
        )
      ).pipe(Effect.provide(broker)),
    /** The ids of outputs, by their number. */
    seen: seen as ReadonlyMap<number, ReadonlySet<string | undefined>>,
    parked: (millis: number) => ground.parked(`${name}.in.relay`, millis),
    /** Waits until so many handlers of a process have begun. */
    hasBegun: (pid: number, least: number) =>
      eventually(
        Effect.sync(() => assert.isAtLeast(noted("begin", pid), least)),
        { deadline: "60 seconds", every: "10 millis" }
      ),
    /** How many of them have not ended. */
    inHand: (pid: number) => Effect.sync(() => noted("begin", pid) - noted("end", pid)),
    deadLetters: Broker.use((port) =>
      Effect.scoped(Effect.flatMap(port.browse(`${name}.in.dlq`), ({ messages }) => Stream.runCollect(messages)))
    ).pipe(Effect.provide(broker)),
    /** Which inputs have had their effect, a number for each time. */
    effects: Effect.sync(() => linesOf(effectsFile).map(Number))
  }
})

export type Stage = Effect.Success<ReturnType<typeof make>>

/** The numbers below a count. */
export const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, n) => n)

/** One in twenty fails once before it succeeds. */
export const mixed = (from: number, count: number): ReadonlyArray<Input> =>
  numbers(count).map((n) => (n % 20 === 0 ? { n: from + n, does: "fails once" } : { n: from + n }))

/** All that was published has come out, each at least once, and every repeat has the id of the first. */
export const assertOutputs = Effect.fnUntraced(function* ({ seen }: Stage, expected: ReadonlyArray<number>) {
  yield* eventually(
    Effect.sync(() =>
      assert.deepStrictEqual(
        [...seen.keys()].sort((one, other) => one - other),
        expected
      )
    ),
    { deadline: "90 seconds", every: "100 millis" }
  )
  for (const [n, ids] of seen) assert.deepStrictEqual([...ids], [`input-${n}/relay.0`])
})
