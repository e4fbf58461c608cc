/** Where topic workers play as processes: topics, an exchange and a database of their own. */
import { randomUUID } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Redacted } from "effect"
import { newDatabase } from "./Databases.ts"
import * as Queues from "./Queues.ts"
import * as Program from "./servers/Program.ts"
import { temporaryFolder } from "./servers/temporaryFolder.ts"

/** The path of a module of workers for tests. */
export const moduleOf = (name: string): string => fileURLToPath(new URL(`workers/${name}.ts`, import.meta.url))

export interface Input {
  readonly n: number
  readonly does?: "kills" | "exits" | "fails once" | "is slow"
}

/** A stage at a broker; the queues of both workers are there before they are. */
export const make = Effect.fnUntraced(function* (brokerUrl: string) {
  const name = `stage-${randomUUID()}`
  const databaseUrl = Redacted.value(yield* newDatabase)
  const effectsFile = join(yield* temporaryFolder("effects"), "effects")
  const queue = (topic: string, group: string) => `${name}.${topic}.${group}`
  const bind = (topic: string, group: string) =>
    Queues.bind(brokerUrl, { exchange: name, topic: `${name}.${topic}`, queue: queue(topic, group) })
  yield* bind("in", "relay")
  yield* bind("out", "effects")
  yield* bind("out", "seen")

  const env = {
    STAGE: name,
    RABBITMQ_URL: brokerUrl,
    RABBITMQ_EXCHANGE: name,
    DATABASE_URL: databaseUrl,
    EFFECTS_FILE: effectsFile,
    HEALTH_PORT: "0"
  }
  const inputs = (all: ReadonlyArray<Input>, headers: Readonly<Record<string, unknown>> = {}) =>
    Queues.publish(
      brokerUrl,
      queue("in", "relay"),
      all.map((input) => ({ id: `input-${input.n}`, body: JSON.stringify(input), headers }))
    )
  return {
    start: (runtime: Program.Runtime, worker: string, more: Readonly<Record<string, string>> = {}) =>
      Program.start({
        runtime,
        args: ["--mode=consumers", `--workers=${moduleOf("relay")}`, `--worker=${worker}`],
        env: { ...env, ...more }
      }),
    publish: inputs,
    waiting: Queues.depth(brokerUrl, queue("in", "relay")),
    depth: (topic: string, group: string) => Queues.depth(brokerUrl, queue(topic, group)),
    delayed: (millis: number) => Queues.depth(brokerUrl, `${queue("in", "relay")}.retry.${millis}`),
    /** Outputs, as the next worker gets them. */
    takeOutputs: Queues.takeAll(brokerUrl, queue("out", "seen")),
    takeDeadLetters: Queues.takeAll(brokerUrl, queue("in", "dlq")),
    /** Which inputs have had their effect, a number for each time. */
    effects: Effect.sync(() =>
      existsSync(effectsFile) ? readFileSync(effectsFile, "utf8").split("\n").slice(0, -1).map(Number) : []
    )
  }
})
