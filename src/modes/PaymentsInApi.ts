/** What an API needs for payments: where they are told of, who processes them, and what a provider tells. */
import { Context, Duration, Effect, Layer, Result, Stream } from "effect"
import { commandTopic } from "../domain/PaymentMessages.ts"
import { Broker } from "../domain/ports/Broker.ts"
import { ChargeNotices } from "../domain/ports/ChargeNotices.ts"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { Reservations } from "../domain/ports/Reservations.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import * as Settings from "../layers/config/Settings.ts"
import { PaymentOutlet } from "../streams/PaymentOutlet.ts"
import { processNow } from "../streams/PaymentProcessor.ts"
import { paymentSweep } from "../streams/PaymentSweep.ts"
import { untilShutdown } from "../streams/Shutdown.ts"
import { type Retryable, supervised } from "../streams/Supervisor.ts"
import { chargeNotices, type Services } from "./Services.ts"

type Brokers = ReadonlyMap<Settings.BrokerKind, Broker["Service"]>

/** Who takes the money is asked only where payments are processed within the request. */
export const paymentsInApi = Settings.all({
  broker: Settings.broker,
  flags: Settings.paymentFlags,
  processing: Settings.onlyIf(
    Settings.paymentFlags,
    ({ asyncCommands }) => !asyncCommands,
    Settings.all({ settings: Settings.paymentSettings, gateway: Settings.gatewaySettings })
  ),
  webhookSecrets: Settings.webhookSecrets
})
type Given = typeof paymentsInApi extends Settings.Group<infer A> ? A : never

/** Those that an API serves, and the one of `BROKER` where events go there without an outbox. */
export const brokersNeeded: Settings.Group<ReadonlyArray<Settings.BrokerKind>> = Settings.refine(
  Settings.all({ served: Settings.apiBrokers, flags: Settings.paymentFlags, broker: Settings.broker }),
  ({ broker, flags, served }) => Result.succeed(flags.outbox ? served : [...new Set([...served, broker])])
)

const outletOf = ({ broker, flags }: Given, brokers: Brokers) => {
  const target = brokers.get(broker)
  return flags.outbox || target === undefined
    ? PaymentOutlet.outbox
    : Layer.provide(PaymentOutlet.afterCommit, Layer.succeed(Broker, target))
}

const warning =
  "ENABLE_OUTBOX_PATTERN is false: events of payments are published after the commit, and lost in a crash or while the broker is away"

const optionsOf = ({ flags }: Given, settings: Settings.PaymentSettings) => ({
  ...settings,
  every: settings.sweepEvery,
  isCompensating: flags.compensation,
  retry: RetryPolicy.exponential({
    initialDelay: settings.retryDelay,
    maxDelay: Duration.minutes(5),
    maxRetries: flags.retries ? settings.maxRetries : 0,
    jitter: 0.1
  })
})

/** Payments processed here: within their request, and by the sweep where that was not the end of it. */
const processingHere = Effect.fnUntraced(function* (given: Given, services: Services) {
  if (given.processing === undefined) return { process: undefined, streams: [] }
  const options = optionsOf(given, given.processing.settings)
  const gateway = yield* Layer.build(services.gateway(given.processing.gateway))
  const context = Context.merge(gateway, yield* Effect.context<PaymentIntents | Reservations | PaymentOutlet>())
  const process = (id: string) =>
    processNow(id, options).pipe(
      // The sweep comes back to it.
      Effect.catch((error) =>
        Effect.annotateLogs(Effect.logWarning(`a payment waits: ${error.message}`), { paymentId: id })
      ),
      Effect.asVoid,
      Effect.provideContext(context)
    )
  return { process, streams: [Stream.provideContext(paymentSweep(options), context)] }
})

/** Done once, as soon as the service is there: that it is away is told, and shown, elsewhere. */
const onceThere = <E extends Retryable, R>(name: string, work: Effect.Effect<void, E, R>) =>
  Stream.tick("1 second").pipe(
    untilShutdown,
    Stream.mapEffect(() =>
      Effect.catch(Effect.as(work, true), (error) => (error.isRetryable ? Effect.succeed(false) : Effect.fail(error)))
    ),
    Stream.takeUntil((isDone) => isDone),
    supervised(name)
  )

/** Commands are for the queue of their name, which has to be there before the first is published. */
const commandQueue = ({ broker, flags }: Given, brokers: Brokers) => {
  const target = brokers.get(broker)
  if (target === undefined || broker === "kafka" || !flags.asyncCommands) return []
  return [onceThere("queue of commands", target.ensureQueue(commandTopic))]
}

const tables = onceThere(
  "payment tables",
  PaymentIntents.use(({ prepare }) => prepare)
)

/** All of it: how payments leave, who processes them, what is listened to, and the streams that go with it. */
export const payments = Effect.fnUntraced(function* (given: Given, services: Services, brokers: Brokers) {
  if (!given.flags.outbox) yield* Effect.logWarning(warning)
  const outlet = yield* Layer.build(outletOf(given, brokers))
  const { process, streams } = yield* Effect.provideContext(processingHere(given, services), outlet)
  const notices =
    given.webhookSecrets.length === 0
      ? undefined
      : Context.get(yield* Layer.build(chargeNotices(given.webhookSecrets)), ChargeNotices)
  return { outlet, process, notices, streams: [tables, ...commandQueue(given, brokers), ...streams] }
})
