/** The client of kafkajs by our settings. What it tries again by itself is little: supervision tries again for ever. */
import { Duration, Effect, Redacted, Schedule } from "effect"
import { Kafka, type KafkaConfig, type LogEntry, logLevel } from "kafkajs"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import type { AvailabilityLog } from "../../streams/Availability.ts"
import * as Internals from "./Internals.ts"
import { brokerError, typeOf } from "./KafkaError.ts"

export interface ClientOptions {
  /** Brokers, client id, TLS and SASL as kafkajs takes them. */
  readonly client: Redacted.Redacted<Pick<KafkaConfig, "brokers" | "clientId" | "ssl" | "sasl">>
  /** The brokers, without credentials: for logs and errors. */
  readonly address: string
}

export interface KafkaClient extends ClientOptions {
  readonly kafka: Kafka
  /** Does something at the broker, again while a leader is elected; what comes of it shows whether the broker is there. */
  readonly attempt: <A>(doing: string, evaluate: () => Promise<A>) => Effect.Effect<A, BrokerError>
  readonly availability: AvailabilityLog
}

/** Until a broker answers: what takes longer is an outage. */
export const retry = { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 }

const timeouts = { connectionTimeout: 5_000, authenticationTimeout: 10_000, requestTimeout: 30_000 }

/**
 * A topic or a group that is new, or has lost a broker, has no leader for a moment: a second, and several on a machine that
 * is busy. So long it is asked again, since somebody is there and answers.
 */
const longestElection = Duration.seconds(10)
const askAgainEvery = Duration.millis(250)
const electing = new Set([
  "NOT_COORDINATOR_FOR_GROUP",
  "GROUP_COORDINATOR_NOT_AVAILABLE",
  "GROUP_LOAD_IN_PROGRESS",
  "NOT_LEADER_FOR_PARTITION",
  "LEADER_NOT_AVAILABLE"
])
const isElecting = (cause: unknown): boolean => electing.has(typeOf(cause) ?? "")

/** The client; nothing is connected yet. */
export const make = Effect.fnUntraced(function* (options: ClientOptions, availability: AvailabilityLog) {
  Internals.change()
  const run = Effect.runForkWith(yield* Effect.context())
  // What matters of this comes to us as an error or an event, and is told once: the rest is for who looks closely.
  const logCreator = () => (entry: LogEntry) => {
    const text = `kafkajs ${entry.namespace}: ${entry.log.message}`
    run(entry.level <= logLevel.WARN ? Effect.logDebug(text) : Effect.logTrace(text))
  }
  const kafka = new Kafka({
    ...Redacted.value(options.client),
    ...timeouts,
    enforceRequestTimeout: true,
    retry,
    logLevel: logLevel.INFO,
    logCreator
  })
  const attempt: KafkaClient["attempt"] = (doing, evaluate) =>
    Effect.tryPromise(evaluate).pipe(
      Effect.retry({
        schedule: Schedule.upTo(Schedule.spaced(askAgainEvery), { duration: longestElection }),
        while: ({ cause }) => isElecting(cause)
      }),
      Effect.mapError(({ cause }) => brokerError(options.address, doing)(cause)),
      (attempted) => availability.watch(attempted)
    )
  return { ...options, kafka, attempt, availability } satisfies KafkaClient
})
