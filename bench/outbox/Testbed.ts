/** The table of events and the broker that they go to: the same for every kind of broker. */
import type { Effect, Scope } from "effect"
import type { Client } from "pg"
import type { BenchmarkError } from "../BenchmarkError.ts"

/** The brokers that events can go to here. */
export const brokers = ["rabbitmq", "kafka"] as const
export type BrokerKind = (typeof brokers)[number]

export interface Testbed {
  readonly broker: BrokerKind
  /** Names and versions. */
  readonly title: string
  /** How any contestant finds broker and table. */
  readonly env: Readonly<Record<string, string>>
  /** What the product writes when it is about to relay. */
  readonly started: RegExp
  readonly databaseUrl: string
  readonly postgres: Client
  /** An empty place that keeps every event of its topic; gone with the scope. */
  readonly fresh: Effect.Effect<Place, BenchmarkError, Scope.Scope>
}

/** Where the events of one measurement go. */
export interface Place {
  readonly topic: string
  /** All that has come, in the order of coming; `count` should. */
  readonly takeAll: (count: number) => Effect.Effect<ReadonlyArray<Arrival>, BenchmarkError>
}

/** An event that has come: its number grows within a key. */
export interface Arrival {
  readonly key: string
  readonly n: number
}
