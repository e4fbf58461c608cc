/** A run of the payment worker that counts over all of its processes, and what a process leaves behind at its end. */
import type { Duration } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, optional, setting } from "./Setting.ts"

export interface RunSettings {
  /** `undefined`: the process counts for itself alone. */
  readonly id: string | undefined
  readonly lease: Duration.Duration
}

export const runSettings: Group<RunSettings> = all({
  id: optional(Parser.shortText(255), {
    name: "RUN_ID",
    default: "each process counts for itself",
    reason:
      "Names a run that counts over all processes with this id: MAX_MESSAGES holds for it, and once done it never runs again. Without MAX_MESSAGES and IDLE_TIMEOUT_SECONDS it runs until it is stopped."
  }),
  lease: setting(Parser.seconds({ minimum: 1, maximum: 3600 }), {
    name: "RUN_LEASE_SECONDS",
    default: "15",
    reason: "What a process of a run had claimed is free for the others when nothing was heard of it for so long."
  })
})

export const terminationMessagePath = optional(Parser.text, {
  name: "TERMINATION_MESSAGE_PATH",
  default: "none is written",
  reason: "A file for what came of the process, as JSON of at most 4096 bytes; in Kubernetes /dev/termination-log."
})
