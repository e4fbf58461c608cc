/**
 * What a process leaves behind for whoever started it: a line of JSON in a file, as Kubernetes reads it from
 * `/dev/termination-log`. What came of the work, and why it ended if it did not end well.
 */
import { writeFileSync } from "node:fs"
import { Context, Effect } from "effect"

/** What came of the work; never a payload, never a secret. */
export type Facts = Readonly<Record<string, string | number | boolean>>

/** Kubernetes cuts off what is longer, in the midst of a character if it must. */
export const longestBytes = 4096

const sizeOf = (text: string): number => new TextEncoder().encode(text).length

/** Facts, and the reason of a failure, as JSON that is no longer than it may be: it is the reason that is cut short. */
export const textOf = (facts: Facts, error?: string): string => {
  const text = JSON.stringify(error === undefined ? facts : { ...facts, error })
  if (sizeOf(text) <= longestBytes || error === undefined) return text
  return textOf(facts, `${error.slice(0, Math.floor(error.length * 0.75) - 1)}…`)
}

interface Shape {
  /** Adds facts to those told before. */
  readonly tell: (facts: Facts) => Effect.Effect<void>
  /** Writes the file, if there is to be one; the process is about to end. */
  readonly write: (error?: string) => void
}

/** Without a path nothing is written. */
export const make = (path: string | undefined): Shape => {
  let told: Facts = {}
  return {
    tell: (facts) =>
      Effect.sync(() => {
        told = { ...told, ...facts }
      }),
    write: (error) => {
      if (path === undefined) return
      try {
        writeFileSync(path, textOf(told, error))
      } catch {
        process.stderr.write(`TERMINATION_MESSAGE_PATH: ${path} cannot be written\n`)
      }
    }
  }
}

/** That of this process. */
export class TerminationMessage extends Context.Reference<Shape>("paystream/layers/process/TerminationMessage", {
  defaultValue: () => make(undefined)
}) {}
