/** What a broker offers to the measurements: the same for all of them. */
import type { Effect, Scope } from "effect"
import type { BenchmarkError } from "../BenchmarkError.ts"

export type Environment = Readonly<Record<string, string>>

/** A broker, started for us. */
export interface Testbed {
  /** Name and version. */
  readonly title: string
  /** How any contestant finds it. */
  readonly env: Environment
  /** Fresh topics with so many inputs waiting for the group; gone with the scope. */
  readonly fill: (messages: number) => Effect.Effect<Topics, BenchmarkError, Scope.Scope>
}

/** The topics of one measurement. */
export interface Topics {
  readonly env: Environment
  /** Outputs that the broker has. */
  readonly outputs: Effect.Effect<number, BenchmarkError>
  /** Milliseconds between two questions for them: what they cost is small. */
  readonly pauseMillis: number
  /** Inputs that are not settled, after the consumer is gone. */
  readonly unsettled: Effect.Effect<number, BenchmarkError>
  /** The bodies of all outputs, in the order in which a consumer gets them. */
  readonly takeOutputs: Effect.Effect<ReadonlyArray<string>, BenchmarkError>
}

/** The group that the inputs wait for. */
export const group = "bench"
