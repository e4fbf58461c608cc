/** Which topic workers run, and what is remembered for them. */
import { Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { database } from "./ProcessSettings.ts"
import { all, type Group, isSet, optional, refine, setting } from "./Setting.ts"

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

/** What topic workers are guarded by that needs a database. */
export interface GuaranteeSettings {
  /** How long finished inputs are remembered. */
  readonly dedupeRetention: Duration.Duration
  readonly maxCrashes: number
  /** The longest that one message that came again is waited for. */
  readonly suspectPatience: Duration.Duration
}

const maxCrashes = setting(Parser.integer({ minimum: 1, maximum: 100 }), {
  name: "MAX_CRASHES",
  default: "3",
  reason:
    "A message is dead-lettered as `crashed`, and a payment that is taken up once more goes into quarantine, after so many deaths of the process while it handled nothing else: more is patient with bad luck, less with bad messages."
})

const guarantees = all({
  dedupeRetention: setting(
    Parser.map(Parser.integer({ minimum: 1, maximum: 24 * 366, unit: "hours" }), (hours) => Duration.hours(hours)),
    {
      name: "DEDUPE_RETENTION_HOURS",
      default: "168",
      reason:
        "How long a worker with `dedupe` remembers an input: it must exceed the longest redelivery plus the age of what is replayed."
    }
  ),
  maxCrashes,
  suspectPatience: setting(Parser.seconds({ minimum: 0.1, maximum: 3600 }), {
    name: "SUSPECT_PATIENCE_SECONDS",
    default: "60",
    reason:
      "A message that came again with the mark of a crash is handled alone: the longest that it waits for that, and that the others then wait for it."
  })
})

const withDatabase = refine(all({ guarantees, database }), ({ database, guarantees }, environment) =>
  database === "none" && isSet(maxCrashes, environment)
    ? Result.fail([
        { name: "MAX_CRASHES", got: "a number, and DATABASE=none", takes: "a database (DATABASE=postgres or embedded)" }
      ])
    : Result.succeed(guarantees)
)

/** Crash marks are kept in a database: who asks for them by number and has none is told. */
export const guaranteeSettings: Group<GuaranteeSettings> = { settings: guarantees.settings, read: withDatabase.read }
