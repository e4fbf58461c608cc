/** `--mode=publish`: sample payments into a queue, persistent and confirmed. */
import { Console, Effect, Option, Stream } from "effect"
import { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import { sampleBatches } from "../streams/SamplePublisher.ts"
import { untilShutdown } from "../streams/Shutdown.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { serviceSettings } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

const settings = Settings.all({
  services: Settings.withQueues("publish", serviceSettings),
  queue: Settings.queueName,
  log: Settings.logSettings
})

export interface PublishOptions {
  /** 1 by default. */
  readonly count: Option.Option<number>
  readonly queue: Option.Option<string>
  readonly host: Option.Option<string>
  readonly json: boolean
}

/** Ids that no other run gives. */
export const newRun = Effect.sync(() => crypto.randomUUID())

const publishAll = Effect.fnUntraced(function* (queue: string, options: PublishOptions) {
  const { json } = options
  const count = Option.getOrElse(options.count, () => 1)
  const broker = yield* Broker
  yield* broker.ensureQueue(queue)
  const run = yield* newRun
  const confirmed = yield* sampleBatches({ queue, run }, count).pipe(
    untilShutdown,
    Stream.tap((sofar) => (json || sofar === count ? Effect.void : Console.error(`${sofar} of ${count} confirmed`))),
    Stream.runFold(
      () => 0,
      (_, sofar) => sofar
    )
  )
  if (confirmed < count) return yield* new StoppedEarly({ detail: `after ${confirmed} of ${count}` })
  yield* Answer.give(json, { queue, confirmed }, `${confirmed} payments published to ${queue} and confirmed`)
})

// A host that was asked for by name is the host, whatever address the environment holds.
const withHost = (host: string) => ({ RABBITMQ_HOST: host, RABBITMQ_URL: "", RABBITMQ_URL_FILE: "" })

/** The environment, with what the flags say in its place. */
export const environmentOf = Effect.fnUntraced(function* (flags: Pick<PublishOptions, "host" | "queue">) {
  return Settings.override(yield* Settings.environment, {
    ...Option.match(flags.queue, { onNone: () => ({}), onSome: (queue) => ({ QUEUE_NAME: queue }) }),
    ...Option.match(flags.host, { onNone: () => ({}), onSome: withHost })
  })
})

/** Publishes `count` payments; `--queue` and `--host` win over the environment. */
export const publish = Effect.fnUntraced(function* (options: PublishOptions) {
  yield* withServices(settings, ({ broker }, { queue }) => Effect.provide(publishAll(queue, options), broker), {
    environment: yield* environmentOf(options),
    stopsByItself: true
  })
})
