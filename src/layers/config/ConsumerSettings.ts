/** Which topic workers run. */
import * as Parser from "./Parser.ts"
import { all, type Group, optional } from "./Setting.ts"

export interface ConsumerSettings {
  /** The path of a module that exports workers. */
  readonly workers: string | undefined
}

export const consumerSettings: Group<ConsumerSettings> = all({
  workers: optional(Parser.text, {
    name: "WORKERS",
    default: "",
    reason: "A module whose exports are the topic workers to run; `--workers` says it too, and wins."
  })
})
