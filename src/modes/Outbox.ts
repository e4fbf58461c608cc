/** `--mode=outbox`: committed events from the table `outbox_events` to the broker, until somebody asks to stop. */
import { Duration, Effect, Stream } from "effect"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import * as Settings from "../layers/config/Settings.ts"
import { type OutboxRelayOptions, outboxRelay } from "../streams/OutboxRelay.ts"
import { supervised } from "../streams/Supervisor.ts"
import * as Part from "./Part.ts"

/** For taking, listening, the lease, the upkeep and a probe of readiness: none of them waits behind a batch. */
const spareConnections = 5

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

const run = (given: Settings.OutboxSettings) =>
  Effect.gen(function* () {
    yield* Stream.runDrain(supervised("outbox tables")(tables))
    const published = yield* Stream.runFold(
      outboxRelay(optionsOf(given)),
      () => 0,
      (sum, report) => sum + report.published
    )
    yield* Effect.annotateLogs(Effect.logInfo("done"), { published })
  })

/** Relays until somebody asks to stop. */
export const outbox = Part.make("outbox", { broker: "any", database: true }, Settings.outboxSettings, (given) =>
  Effect.succeed({
    maxConnections: given.batchesInFlight + spareConnections,
    maxBytesInFlight: 0,
    introduction: {},
    open: () => Effect.map(Part.bothDependencies, (dependencies) => ({ dependencies, run: run(given) }))
  })
)
