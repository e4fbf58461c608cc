/**
 * One connection, opened when first needed and again after it was lost. Consuming and publishing each have their own:
 * an alarm at the broker blocks a connection that publishes, and acknowledgements must not wait behind it.
 */
import type { SecureContextOptions } from "node:tls"
import { type ChannelModel, connect, type Options } from "amqplib"
import { Effect, Latch, Redacted, Schedule, type Scope, Semaphore } from "effect"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import type { AvailabilityLog } from "../../streams/Availability.ts"
import { close, throwIfClosed } from "./Closing.ts"
import { joinWrites, socketOf } from "./JoinedWrites.ts"
import { away, brokerError } from "./RabbitMqError.ts"

/** Two missed heartbeats end a connection that a network has swallowed: within 40 seconds here. */
const heartbeatSeconds = 20
const connectTimeoutMillis = 10_000

/** Where the broker is. */
export interface Place {
  readonly connection: Redacted.Redacted<Options.Connect>
  /** For TLS; by default what the runtime knows. */
  readonly certificates?: Redacted.Redacted<SecureContextOptions> | undefined
  /** Host, port and virtual host: for logs. */
  readonly address: string
}

export interface ConnectionOptions extends Place {
  /** Shown in the broker's list of connections. A publisher connects again at its next message, so its loss alone is no news. */
  readonly purpose: "consume" | "publish"
  readonly availability: AvailabilityLog
}

export interface RabbitMqConnection {
  /** The live connection, opened if there is none. */
  readonly get: Effect.Effect<ChannelModel, BrokerError>
  /** Waits while the broker has blocked publishers (memory or disk alarm). */
  readonly whenUnblocked: Effect.Effect<void>
  readonly isBlocked: Effect.Effect<boolean>
}

/** `adopt` is told of it in the turn in which it is there: none of its events is missed. */
const open = (
  { address, certificates, connection, purpose }: ConnectionOptions,
  adopt: (model: ChannelModel) => void
) =>
  Effect.tryPromise({
    try: async (signal) => {
      const model = await connect(
        { heartbeat: heartbeatSeconds, ...Redacted.value(connection) },
        {
          ...(certificates && Redacted.value(certificates)),
          noDelay: true,
          keepAlive: true,
          timeout: connectTimeoutMillis,
          clientProperties: { connection_name: `paystream ${purpose}` }
        }
      )
      throwIfClosed(model)
      joinWrites(socketOf(model))
      // Nobody waits for it any more: it would stay open for ever.
      if (signal.aborted) await close(model)
      else adopt(model)
      return model
    },
    catch: brokerError(address, "connect")
  }).pipe(
    Effect.timeoutOrElse({
      duration: connectTimeoutMillis * 1.5,
      orElse: () => Effect.fail(away(address, "connect: no answer"))
    }),
    // A broker about to stop refuses too, for a moment: only what it goes on refusing is refused.
    Effect.retry({ times: 2, schedule: Schedule.spaced("500 millis"), while: (error) => !error.isRetryable })
  )

const closeQuietly = (model: ChannelModel) => Effect.ignore(Effect.tryPromise(() => close(model)))

/** A connection that lives as long as the scope. */
export const make = Effect.fnUntraced(function* (
  options: ConnectionOptions
): Effect.fn.Return<RabbitMqConnection, never, Scope.Scope> {
  const { availability } = options
  const run = Effect.runForkWith(yield* Effect.context())
  const one = yield* Semaphore.make(1)
  const unblocked = yield* Latch.make(true)
  let current: ChannelModel | undefined

  const adopt = (model: ChannelModel) => {
    current = model
    let detail = "connection closed"
    model.on("error", (error: Error) => {
      detail = error.message
    })
    model.on("close", () => {
      if (current !== model) return
      current = undefined
      unblocked.openUnsafe()
      if (options.purpose === "consume") run(availability.away(detail))
    })
    model.on("blocked", (reason: string) => {
      unblocked.closeUnsafe()
      run(availability.away(`publishing is blocked by the broker (${reason})`))
    })
    model.on("unblocked", () => {
      unblocked.openUnsafe()
      run(availability.connected)
    })
  }

  const connected = availability.watch(open(options, adopt))

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      const model = current
      current = undefined
      return model === undefined ? Effect.void : Effect.timeoutOption(closeQuietly(model), "5 seconds")
    })
  )

  const found = (otherwise: Effect.Effect<ChannelModel, BrokerError>) =>
    Effect.suspend(() => (current === undefined ? otherwise : Effect.succeed(current)))

  return {
    get: found(Semaphore.withPermits(one, 1)(found(connected))),
    whenUnblocked: unblocked.await,
    isBlocked: Effect.sync(() => !Latch.isOpen(unblocked))
  }
})
