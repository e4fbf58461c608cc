/** `--mode=commands`: payments that were asked for, processed until somebody asks to stop. */
import { Duration, Effect, Layer, Stream } from "effect"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import { Reservations } from "../domain/ports/Reservations.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import * as Settings from "../layers/config/Settings.ts"
import { expiredKeys } from "../streams/ExpiredKeys.ts"
import { unlessNotLetIn } from "../streams/GatewayAccess.ts"
import { paymentCommands } from "../streams/PaymentCommands.ts"
import { PaymentOutlet } from "../streams/PaymentOutlet.ts"
import { paymentSweep } from "../streams/PaymentSweep.ts"
import { besideRetention } from "../streams/Retention.ts"
import { supervised } from "../streams/Supervisor.ts"
import { topicWorker } from "../streams/TopicWorker.ts"
import { besideUpkeep, guards } from "../streams/WorkerStores.ts"
import * as Part from "./Part.ts"
import type { Services } from "./Services.ts"
import { refuseMissingTopics } from "./WorkerTopics.ts"

const settings = Settings.all({
  flags: Settings.paymentFlags,
  payments: Settings.paymentSettings,
  gateway: Settings.gatewaySettings,
  guarantees: Settings.guaranteeSettings,
  intentsAge: Settings.intentsRetention,
  ordersAge: Settings.ordersRetention
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** Commands are small. */
const maxBytesInFlight = 64 * 1024 * 1024

/** More payments at a time than that wait for each other at the database, and hardly ever all at once. */
const mostPaymentConnections = 16
/** For look-ups of commands, crash marks, the sweep's look and a probe of readiness. */
const spareConnections = 4

/** Longer than that no command waits for its next attempt: the sweep comes by meanwhile. */
const longestRetryDelay = Duration.minutes(5)
const keysRemovedEvery = "1 minute"

/** The policy that settings ask for. */
export const retryOf = (flags: Settings.PaymentFlags, payments: Settings.PaymentSettings): RetryPolicy.RetryPolicy =>
  flags.retries
    ? RetryPolicy.exponential({
        initialDelay: payments.retryDelay,
        maxDelay: longestRetryDelay,
        maxRetries: payments.maxRetries,
        jitter: 0.2
      })
    : RetryPolicy.none

/** How what is told of payments gets out. */
export const outletOf = ({ outbox }: Settings.PaymentFlags) =>
  outbox ? PaymentOutlet.outbox : PaymentOutlet.afterCommit

const warnings = ({ compensation, outbox, retries }: Settings.PaymentFlags): ReadonlyArray<string> => [
  ...(outbox
    ? []
    : ["ENABLE_OUTBOX_PATTERN=false: events of payments are published after the commit, and lost in a crash"]),
  ...(retries ? [] : ["ENABLE_RETRY_LOGIC=false: the first failure at the payment provider is the last"]),
  ...(compensation ? [] : ["ENABLE_COMPENSATION=false: money that has to go back waits for `sagas compensate`"])
]

/** Says what is switched off, and what that means. */
export const warn = (flags: Settings.PaymentFlags) =>
  Effect.forEach(warnings(flags), (warning) => Effect.logWarning(warning), { discard: true })

const tables = Stream.unwrap(PaymentIntents.useSync(({ prepare }) => Stream.fromEffect(prepare)))

const run = Effect.fnUntraced(function* ({ flags, guarantees, intentsAge, ordersAge, payments }: Given) {
  const intents = yield* PaymentIntents
  const orders = yield* Reservations
  yield* warn(flags)
  const options = {
    ...payments,
    every: payments.sweepEvery,
    isCompensating: flags.compensation,
    retry: retryOf(flags, payments)
  }
  const worker = paymentCommands(options)
  const all = [
    Stream.runDrain(topicWorker(worker)),
    Stream.runDrain(paymentSweep(options)),
    Stream.runDrain(expiredKeys(keysRemovedEvery))
  ] as const
  const work = Effect.gen(function* () {
    yield* refuseMissingTopics([worker])
    yield* Stream.runDrain(supervised("payment tables")(tables))
    yield* Effect.all(all, { concurrency: "unbounded", discard: true })
  })
  yield* work.pipe(
    besideUpkeep([worker]),
    unlessNotLetIn,
    Effect.provide(guards(guarantees)),
    besideRetention({ what: "payments that have ended", age: intentsAge, forget: intents.forget }),
    besideRetention({ what: "orders that are paid or cancelled", age: ordersAge, forget: orders.forget })
  )
})

const open = (given: Given) =>
  Effect.fnUntraced(function* (services: Services) {
    const intents = yield* PaymentIntents
    // A provider that is away makes nobody ready by leaving the process: its payments wait.
    const dependencies = [yield* Part.brokerDependency, { name: "database", isReady: Effect.isSuccess(intents.ping) }]
    const built = yield* Layer.build(Layer.merge(services.gateway(given.gateway), outletOf(given.flags)))
    return { dependencies, run: Effect.provide(run(given), built) }
  })

/** Payments, processed until somebody asks to stop. */
export const commands = Part.make("commands", { broker: "any", database: true }, settings, (given) =>
  Effect.succeed({
    maxConnections: Math.min(given.payments.concurrency, mostPaymentConnections) + spareConnections,
    maxBytesInFlight,
    introduction: { gateway: given.gateway.kind },
    open: open(given)
  })
)
