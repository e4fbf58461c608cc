/** `--mode=publish`: sample payments into a queue, or given values to a topic, persistent and confirmed. */
import { Console, Effect, Layer, Option, Schema, Stream } from "effect"
import { Broker } from "../domain/ports/Broker.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { sampleBatches } from "../streams/SamplePublisher.ts"
import { untilShutdown } from "../streams/Shutdown.ts"
import * as Worker from "../streams/Worker.ts"
import { serviceSettings, services } from "./Services.ts"
import { StoppedEarly } from "./StoppedEarly.ts"

const settings = Settings.all({ services: serviceSettings, queue: Settings.queueName, log: Settings.logSettings })

export interface PublishOptions {
  /** 1 by default. */
  readonly count: Option.Option<number>
  readonly queue: Option.Option<string>
  readonly host: Option.Option<string>
  /** Publishes `values` to this topic instead of samples to a queue. */
  readonly topic: Option.Option<string>
  /** Each a JSON text. */
  readonly values: ReadonlyArray<string>
  readonly key: Option.Option<string>
  readonly json: boolean
}

/** What was to be published is not JSON, or is missing. */
export class UnusableValue extends Schema.TaggedError<UnusableValue>()("UnusableValue", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
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
  yield* Console.log(
    json ? JSON.stringify({ queue, confirmed }) : `${confirmed} payments published to ${queue} and confirmed`
  )
})

const isJson = (text: string): boolean => Option.isSome(Option.liftThrowable((): unknown => JSON.parse(text))())

const publishValues = Effect.fnUntraced(function* (topic: string, { json, key, values }: PublishOptions) {
  const wrong = values.findIndex((value) => !isJson(value))
  if (values.length === 0 || wrong >= 0) {
    // The value itself may be secret: its place tells it.
    const problem = values.length === 0 ? "there is none" : `number ${wrong + 1} is not JSON`
    return yield* new UnusableValue({
      detail: `--topic takes values in JSON, --value='{"n":1}', repeatable: ${problem}`
    })
  }
  for (const text of values)
    yield* Worker.publishText(topic, text, { key: Option.getOrUndefined(key), id: yield* newRun })
  const confirmed = values.length
  yield* Console.log(
    json ? JSON.stringify({ topic, confirmed }) : `${confirmed} published to the topic ${topic} and confirmed`
  )
})

// A host that was asked for by name is the host, whatever address the environment holds.
const withHost = (host: string) => ({ RABBITMQ_HOST: host, RABBITMQ_URL: "", RABBITMQ_URL_FILE: "" })

/** Publishes `count` payments, or the values for a topic; `--queue` and `--host` win over the environment. */
export const publish = Effect.fnUntraced(function* (options: PublishOptions) {
  const environment = Settings.override(yield* Settings.environment, {
    ...Option.match(options.queue, { onNone: () => ({}), onSome: (queue) => ({ QUEUE_NAME: queue }) }),
    ...Option.match(options.host, { onNone: () => ({}), onSome: withHost })
  })
  const { log, queue, services: where } = yield* Settings.load(settings, environment)
  const { broker } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
  const work = Effect.gen(function* () {
    if (Option.isSome(options.topic)) return yield* publishValues(options.topic.value, options)
    return yield* publishAll(queue, options)
  })
  yield* Effect.provide(work, Layer.provideMerge(broker, Logs.besideAnswer(log)))
})
