/** What an API needs for payments: where they are told of, who processes them, and what a provider tells. */
import { Context, Effect, Layer, Result, Stream } from "effect"
import { commandTopic } from "../domain/PaymentMessages.ts"
import { Broker, type BrokerError } from "../domain/ports/Broker.ts"
import { ChargeNotices } from "../domain/ports/ChargeNotices.ts"
import type { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { Reservations } from "../domain/ports/Reservations.ts"
import * as Settings from "../layers/config/Settings.ts"
import type { ProcessPayment } from "../layers/http/PaymentWork.ts"
import { GatewayAccess } from "../streams/GatewayAccess.ts"
import type { PaymentOutlet } from "../streams/PaymentOutlet.ts"
import { processNow } from "../streams/PaymentProcessor.ts"
import { takenUpAgain } from "../streams/PaymentSuspects.ts"
import { paymentSweep } from "../streams/PaymentSweep.ts"
import { type Shutdown, untilShutdown } from "../streams/Shutdown.ts"
import { supervised } from "../streams/Supervisor.ts"
import { Suspects } from "../streams/Suspects.ts"
import { outletOf, retryOf, warn } from "./PaymentCommands.ts"
import { chargeNotices, noBroker, type Services } from "./Services.ts"

type Brokers = ReadonlyMap<Settings.BrokerKind, Broker["Service"]>

/** Who takes the money is asked only where payments are processed within the request. */
export const paymentsInApi = Settings.all({
  broker: Settings.broker,
  flags: Settings.paymentFlags,
  processing: Settings.onlyIf(
    Settings.paymentFlags,
    ({ asyncCommands }) => !asyncCommands,
    Settings.all({
      settings: Settings.paymentSettings,
      gateway: Settings.gatewaySettings,
      guarantees: Settings.guaranteeSettings
    })
  ),
  webhookSecrets: Settings.webhookSecrets
})
type Given = typeof paymentsInApi extends Settings.Group<infer A> ? A : never

/** Those that an API serves, and the one of `BROKER` where events go there without an outbox. */
export const brokersNeeded: Settings.Group<ReadonlyArray<Settings.BrokerKind>> = Settings.refine(
  Settings.all({ served: Settings.apiBrokers, flags: Settings.paymentFlags, broker: Settings.broker }),
  ({ broker, flags, served }) => Result.succeed(flags.outbox ? served : [...new Set([...served, broker])])
)

/** Without an outbox events are published to the broker of `BROKER`; with one, nobody asks for it here. */
const outletIn = ({ broker, flags }: Given, brokers: Brokers) => {
  const target = brokers.get(broker)
  return Layer.provide(outletOf(flags), target === undefined ? noBroker : Layer.succeed(Broker, target))
}

/** Payments processed here: within their request, and by the sweep where that was not the end of it. */
const processingHere = Effect.fnUntraced(function* (given: Given, services: Services) {
  if (given.processing === undefined) return { process: undefined, streams: [] }
  const { flags, processing } = given
  yield* warn(flags)
  const options = {
    ...processing.settings,
    every: processing.settings.sweepEvery,
    isCompensating: flags.compensation,
    retry: retryOf(flags, processing.settings)
  }
  const { maxCrashes, suspectPatience: patience } = processing.guarantees
  const built = yield* Layer.build(
    Layer.mergeAll(
      services.gateway(processing.gateway),
      GatewayAccess.telling,
      Suspects.layer({ maxCrashes, patience })
    )
  )
  const context = Context.merge(
    built,
    yield* Effect.context<PaymentIntents | Reservations | PaymentOutlet | Shutdown>()
  )
  // One that is tried alone is alone: what dies beside it would be held against it. What is asked for once more may have
  // killed the process that it was asked of first.
  const begun = (id: string, isNew: boolean) =>
    isNew
      ? Effect.flatMap(Suspects, ({ beside }) => beside(() => processNow(id, options)))
      : takenUpAgain(id, processNow(id, options))
  const process: ProcessPayment = (id, { isNew }) =>
    begun(id, isNew).pipe(
      Effect.tapErrorTag("GatewayError", (error) => GatewayAccess.use(({ refused }) => refused(error))),
      // The sweep comes back to it.
      Effect.catchTag("StoreError", (error) =>
        Effect.annotateLogs(Effect.logWarning(`a payment waits: ${error.message}`), { paymentId: id })
      ),
      Effect.catchDefect((defect) =>
        Effect.annotateLogs(Effect.logError("a defect in a payment", defect), { paymentId: id })
      ),
      Effect.asVoid,
      Effect.provideContext(context)
    )
  return { process, streams: [Stream.provideContext(paymentSweep(options), context)] }
})

/** Commands are for the queue of their name, which has to be there before the first is published. */
const commandQueue = ({ broker, flags }: Given, brokers: Brokers) => {
  const target = brokers.get(broker)
  if (target === undefined || broker === "kafka" || !flags.asyncCommands) return []
  // That its broker is away is told, and shown, elsewhere.
  const ensured = Effect.catchIf(
    Effect.as(target.ensureQueue(commandTopic), true),
    (error: BrokerError) => error.isRetryable,
    () => Effect.succeed(false)
  )
  const made = Stream.tick("1 second").pipe(
    untilShutdown,
    Stream.mapEffect(() => ensured),
    Stream.takeUntil((isMade) => isMade)
  )
  return [supervised("queue of commands")(made)]
}

/** All of it: how payments leave, who processes them, what is listened to, and the streams that go with it. */
export const payments = Effect.fnUntraced(function* (given: Given, services: Services, brokers: Brokers) {
  const outlet = yield* Layer.build(outletIn(given, brokers))
  const { process, streams } = yield* Effect.provideContext(processingHere(given, services), outlet)
  const notices =
    given.webhookSecrets.length === 0
      ? undefined
      : Context.get(yield* Layer.build(chargeNotices(given.webhookSecrets)), ChargeNotices)
  return { outlet, process, notices, streams: [...commandQueue(given, brokers), ...streams] }
})
