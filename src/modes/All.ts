/** `--mode=all`: every part of the product in one process, on one broker and one database. */
import { Effect, Result } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import { api } from "./Api.ts"
import { type ConsumersOptions, consumers } from "./Consumers.ts"
import { longRunning } from "./LongRunning.ts"
import { outbox } from "./Outbox.ts"
import type { Part } from "./Part.ts"
import { commands } from "./PaymentCommands.ts"
import { worker } from "./Worker.ts"

/** Kafka has no queues: there, whoever works with one is left out, and the first line says so. */
const isLeftOut = ({ needs }: Part, environment: Settings.Environment): boolean => {
  const broker = Settings.broker.read(environment)
  return needs.broker === "queues" && Result.isSuccess(broker) && broker.success === "kafka"
}

/** Runs them all, until one of them is done or somebody asks to stop. */
export const all = Effect.fnUntraced(function* (options: ConsumersOptions) {
  const environment = yield* Settings.environment
  const parts = [worker, consumers(options), outbox, commands, api]
  const leftOut = parts.filter((part) => isLeftOut(part, environment)).map(({ name }) => name)
  yield* longRunning({
    mode: "all",
    parts: parts.filter(({ name }) => !leftOut.includes(name)),
    introduction: leftOut.length === 0 ? {} : { leftOut: `${leftOut.join(", ")}: Kafka has no queues` }
  })
})
