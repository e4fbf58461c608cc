/** `--mode=outbox`: committed events from the table `outbox_events` to the broker, until somebody asks to stop. */
import { Duration, Effect, Stream } from "effect"
import { commandTopic } from "../domain/PaymentMessages.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import * as Settings from "../layers/config/Settings.ts"
import { letYoungGenerationGrow } from "../layers/process/Memory.ts"
import { type OutboxRelayOptions, outboxRelay } from "../streams/OutboxRelay.ts"
import { supervised } from "../streams/Supervisor.ts"
import * as Part from "./Part.ts"

const settings = Settings.all({ outbox: Settings.outboxSettings, flags: Settings.paymentFlags })

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** For taking, the lease, the upkeep and a probe of readiness: none of them waits behind a batch. Listening has its own. */
const spareConnections = 4

const optionsOf = ({ dead, maxAttempts, retryDelay, ...rest }: Settings.OutboxSettings): OutboxRelayOptions => ({
  ...rest,
  rules: { maxAttempts, dead },
  retry: RetryPolicy.exponential({
    initialDelay: retryDelay,
    maxDelay: Duration.hours(1),
    maxRetries: maxAttempts,
    jitter: 0.1
  })
})

const tables = Stream.unwrap(PaymentStore.useSync(({ prepare }) => Stream.fromEffect(prepare)))

/** Commands have to find their queue, whether a processor was ever started or not: none dies for the want of one. */
const commandQueue = Effect.gen(function* () {
  const broker = yield* Broker
  if (broker.kind === "kafka") return
  yield* Effect.catchIf(
    broker.subscribe(commandTopic, undefined),
    (error) => !error.isRetryable,
    (error) => Effect.logWarning(`the queue ${commandTopic} is not made: ${error.message}`)
  )
})

const run = ({ flags, outbox: given }: Given) =>
  Effect.gen(function* () {
    yield* Effect.sync(letYoungGenerationGrow)
    yield* Stream.runDrain(supervised("outbox tables")(tables))
    if (flags.asyncCommands) yield* Stream.runDrain(supervised("command queue")(Stream.fromEffect(commandQueue)))
    const published = yield* Stream.runFold(
      outboxRelay(optionsOf(given)),
      () => 0,
      (sum, report) => sum + report.published
    )
    yield* Effect.annotateLogs(Effect.logInfo("done"), { published })
  })

/** Relays until somebody asks to stop. */
export const outbox = Part.make("outbox", { broker: "any", database: true }, settings, (given) =>
  Effect.succeed({
    maxConnections: given.outbox.batchesInFlight + spareConnections,
    maxBytesInFlight: 0,
    introduction: {},
    open: () => Effect.map(Part.bothDependencies, (dependencies) => ({ dependencies, run: run(given) }))
  })
)
