/** The deliveries of a subscription, as long as a scope is open. It ends with its member; supervision makes the next. */
import { Cause, Clock, Duration, Effect, Queue, Schedule, type Scope } from "effect"
import type { BrokerError, Delivery } from "../../domain/ports/Broker.ts"
import * as GroupMember from "./GroupMember.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import { away, brokerError } from "./KafkaError.ts"
import * as RecordsInHand from "./RecordsInHand.ts"

export interface ConsumerOptions {
  readonly groupId: string
  readonly topics: ReadonlyArray<string>
  readonly process: string
  readonly prefetch: number
  readonly maxBytesInFlight: number
  readonly sessionTimeout: Duration.Duration
  /** A delivery that is not settled for so long will never be. */
  readonly handlingTimeout: Duration.Duration
}

/** Retries are as exact as this. */
const tick = "50 millis"
const ticksPerCommit = 10
/** A broker that answers heartbeats and takes no commit for so long does not do its work. */
const mostFailedCommits = 20

/** Puts deliveries into `deliveries` until the scope closes, which gives back what is unsettled. */
export const consume = Effect.fnUntraced(function* (
  client: KafkaClient,
  options: ConsumerOptions,
  deliveries: Queue.Queue<Delivery, BrokerError | Cause.Done>
): Effect.fn.Return<void, BrokerError, Scope.Scope> {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const run = Effect.runForkWith(yield* Effect.context())
  const doing = `consume ${options.topics[0]} as ${options.groupId}`
  const fail = (error: BrokerError): void => {
    Queue.failCauseUnsafe(deliveries, Cause.fail(error))
  }
  const records = RecordsInHand.make({
    prefetch: options.prefetch,
    maxBytes: Math.max(1, options.maxBytesInFlight),
    now,
    deliver: (due) => void Queue.offerAllUnsafe(deliveries, due)
  })
  const make = () =>
    GroupMember.make(client, records, {
      ...options,
      owner: `${options.process}:${crypto.randomUUID()}`,
      maxBytes: Math.max(1, options.maxBytesInFlight),
      sessionTimeoutMillis: Duration.toMillis(options.sessionTimeout),
      now,
      onEnd: (cause) => {
        const error = brokerError(client.address, doing)(cause)
        const noted = error.isRetryable ? client.availability.away(error.message) : Effect.void
        run(
          Effect.andThen(
            noted,
            Effect.sync(() => fail(error))
          )
        )
      },
      onAssigned: (assignment) => run(tellAssigned(options.groupId, assignment))
    })
  const member = yield* Effect.acquireRelease(Effect.sync(make), ({ stop }) => quietly(stop))
  yield* client.attempt(doing, member.start)
  yield* Effect.forkScoped(
    Effect.repeat(watching(client, options, { records, member, now, doing, fail }), Schedule.spaced(tick))
  )
})

const tellAssigned = (group: string, assignment: ReadonlyMap<string, ReadonlyArray<number>>) =>
  Effect.logInfo("partitions assigned").pipe(
    Effect.annotateLogs({
      group,
      partitions: [...assignment].map(([topic, partitions]) => `${topic}: ${partitions.join(" ")}`).join("; ")
    })
  )

interface Watched {
  readonly records: RecordsInHand.RecordsInHand
  readonly member: GroupMember.GroupMember
  readonly now: () => number
  readonly doing: string
  readonly fail: (error: BrokerError) => void
}

/** Delivers what has become due, commits now and then, and looks whether there is still life. */
const watching = (client: KafkaClient, options: ConsumerOptions, watched: Watched) => {
  const { doing, fail, member, now, records } = watched
  const longestSilence = Duration.toMillis(options.sessionTimeout) + GroupMember.rebalanceTimeoutMillis
  const longestHandling = Duration.toMillis(options.handlingTimeout)
  let [ticks, failures, isCommitting] = [0, 0, false]

  const commit = (): void => {
    if (isCommitting) return
    isCommitting = true
    const ended = (failed: boolean) => {
      isCommitting = false
      failures = failed ? failures + 1 : 0
    }
    member.commit().then(
      () => ended(false),
      (cause) => {
        ended(true)
        if (failures >= mostFailedCommits) fail(brokerError(client.address, `${doing}: commit`)(cause))
      }
    )
  }
  return Effect.sync(() => {
    records.pump()
    if (++ticks % ticksPerCommit !== 0) return
    commit()
    if (now() - member.lastSignMillis() > longestSilence) fail(away(client.address, `${doing}: no sign of life`))
    if (now() - (records.oldestMillis() ?? now()) > longestHandling) {
      const limit = Duration.format(options.handlingTimeout)
      fail(away(client.address, `${doing}: a message is not settled after ${limit} (KAFKA_HANDLING_TIMEOUT_SECONDS)`))
    }
  })
}

const quietly = (evaluate: () => Promise<void>) =>
  Effect.timeoutOption(Effect.ignore(Effect.tryPromise(evaluate)), "10 seconds")
