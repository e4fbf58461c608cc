/** `--mode=publish --topic=NAME`: values to a topic, each confirmed by the broker. */
import { Effect, Option, Schema } from "effect"
import * as Settings from "../layers/config/Settings.ts"
import { publishText } from "../streams/Worker.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { environmentOf, newRun, type PublishOptions } from "./Publish.ts"
import { serviceSettings } from "./Services.ts"

const settings = Settings.all({ services: serviceSettings, log: Settings.logSettings })

export interface PublishToTopicOptions extends Pick<PublishOptions, "count" | "host" | "queue" | "json"> {
  readonly topic: Option.Option<string>
  /** Each a JSON text. */
  readonly values: ReadonlyArray<string>
  readonly key: Option.Option<string>
}

/** What was to be published is not JSON, or is missing. */
export class UnusableValue extends Schema.TaggedError<UnusableValue>()("UnusableValue", { problem: Schema.String }) {
  override get message(): string {
    return `a topic takes values in JSON, --topic=NAME --value='{"n":1}', repeatable: ${this.problem}`
  }
}

const isJson = (text: string): boolean => Option.isSome(Option.liftThrowable((): unknown => JSON.parse(text))())

/** What is wrong with the flags, if anything. */
const problemOf = ({ count, queue, topic, values }: PublishToTopicOptions): string | undefined => {
  if (Option.isSome(count) || Option.isSome(queue)) return "--count and --queue are for samples"
  if (Option.isNone(topic)) return "there is no topic"
  if (values.length === 0) return "there is no value"
  // The value itself may be secret: its place tells it.
  const wrong = values.findIndex((value) => !isJson(value))
  return wrong < 0 ? undefined : `value ${wrong + 1} is not JSON`
}

const publishAll = Effect.fnUntraced(function* (topic: string, { json, key, values }: PublishToTopicOptions) {
  // Ids, so that workers can tell a repeat; the text as it was given, to the last digit.
  for (const text of values) yield* publishText(topic, text, { key: Option.getOrUndefined(key), id: yield* newRun })
  const confirmed = values.length
  yield* Answer.give(json, { topic, confirmed }, `${confirmed} published to the topic ${topic} and confirmed`)
})

/** Publishes the values, in order. */
export const publishToTopic = Effect.fnUntraced(function* (options: PublishToTopicOptions) {
  const problem = problemOf(options)
  if (problem !== undefined) return yield* new UnusableValue({ problem })
  const topic = Option.getOrElse(options.topic, () => "")
  yield* withServices(settings, ({ broker }) => Effect.provide(publishAll(topic, options), broker), {
    environment: yield* environmentOf(options),
    stopsByItself: true
  })
})
