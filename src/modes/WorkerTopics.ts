/** The topics of workers: which there have to be, which there are, and how they are made. */
import { Effect, Option } from "effect"
import { Broker, type BrokerError, groupQueue } from "../domain/ports/Broker.ts"
import { groupOf, isDeadLetterTopic } from "../domain/Subscriptions.ts"
import { DeadLetterTopics } from "../streams/TopicWorker.ts"
import type { Any } from "../streams/Worker.ts"

// Loaded where it is asked for, with its library.
const kafka = Effect.promise(() =>
  Promise.all([import("../layers/kafka/KafkaNames.ts"), import("../layers/kafka/KafkaTopics.ts")])
).pipe(Effect.map(([names, topics]) => ({ ...names, ...topics })))

const isString = (topic: string | undefined): topic is string => topic !== undefined

/** On Kafka every topic has to be there, what others read too, and one more for the retries of each group. */
const kafkaTopicsOf = Effect.fnUntraced(function* (workers: ReadonlyArray<Any>, published: ReadonlyArray<string> = []) {
  const { retryTopicOf } = yield* kafka
  const known = yield* DeadLetterTopics
  const ofWorkers = workers.flatMap((worker) => {
    const group = groupOf(worker, known)
    const deadLetters = isDeadLetterTopic(worker.topic, known) ? [worker.topic, worker.dlqTopic] : [worker.dlqTopic]
    return [
      ...deadLetters.map((topic) => ({ topic, keeps: "deadLetters" as const })),
      ...[worker.topic, worker.outputTopic].filter(isString).map((topic) => ({ topic, keeps: "messages" as const })),
      { topic: retryTopicOf({ _tag: "Topic", topic: worker.topic, group }), keeps: "retries" as const }
    ]
  })
  return [...ofWorkers, ...published.map((topic) => ({ topic, keeps: "messages" as const }))]
})

/** Kafka's topics, where the broker is Kafka. */
const kafkaTopics = Effect.flatMap(kafka, ({ KafkaTopics }) => Effect.serviceOption(KafkaTopics))

/** Fails with the names of what Kafka lacks. A broker that is away is no reason: workers wait for it. */
export const refuseMissingTopics = Effect.fnUntraced(function* (workers: ReadonlyArray<Any>) {
  if ((yield* Broker).kind !== "kafka") return
  const topics = yield* kafkaTopics
  if (Option.isNone(topics)) return
  const wanted = yield* kafkaTopicsOf(workers)
  yield* topics.value.require(wanted.map(({ topic }) => topic)).pipe(
    Effect.catchIf(
      (error) => error.isRetryable,
      () => Effect.void
    )
  )
})

/** What the groups of workers subscribe to, and the dead letters' own. */
const subscriptionsOf = (workers: ReadonlyArray<Any>) =>
  Effect.map(DeadLetterTopics, (known) =>
    workers.flatMap((worker) => [
      { topic: worker.topic, group: groupOf(worker, known), ordered: worker.ordered },
      { topic: worker.dlqTopic, group: undefined, ordered: undefined }
    ])
  )

/**
 * Makes what is missing for workers: topics on Kafka, and there those that are `published` to; elsewhere the queues of
 * groups. Gives the names.
 */
export const makeTopics = Effect.fnUntraced(function* (
  workers: ReadonlyArray<Any>,
  published: ReadonlyArray<string> = []
): Effect.fn.Return<ReadonlyArray<string>, BrokerError, Broker> {
  const broker = yield* Broker
  const topics = broker.kind === "kafka" ? yield* kafkaTopics : Option.none()
  if (Option.isSome(topics)) return yield* topics.value.make(yield* kafkaTopicsOf(workers, published))
  const missing = (yield* statusOfTopics(workers)).filter(({ isThere }) => !isThere)
  yield* Effect.forEach(
    yield* subscriptionsOf(workers),
    ({ group, ordered, topic }) => broker.subscribe(topic, group, { ordered }),
    { discard: true }
  )
  return missing.map(({ name }) => name)
})

/** A broker that is away, or refuses, knows nothing of a queue: that is no missing queue. */
const isThere = (broker: Broker["Service"], queue: string) =>
  broker.depth(queue).pipe(
    Effect.as(true),
    Effect.catchIf(
      ({ reason }) => reason._tag === "Unroutable",
      () => Effect.succeed(false)
    )
  )

/** Which of them there are. */
export const statusOfTopics = Effect.fnUntraced(function* (
  workers: ReadonlyArray<Any>,
  published: ReadonlyArray<string> = []
): Effect.fn.Return<ReadonlyArray<{ readonly name: string; readonly isThere: boolean }>, BrokerError, Broker> {
  const broker = yield* Broker
  const topics = broker.kind === "kafka" ? yield* kafkaTopics : Option.none()
  if (Option.isSome(topics)) {
    const names = [...new Set((yield* kafkaTopicsOf(workers, published)).map(({ topic }) => topic))]
    const missing = yield* topics.value.missing(names)
    return names.map((name) => ({ name, isThere: !missing.includes(name) }))
  }
  const queues = new Set((yield* subscriptionsOf(workers)).map(({ group, topic }) => groupQueue(topic, group)))
  return yield* Effect.forEach(queues, (name) => Effect.map(isThere(broker, name), (isThere) => ({ name, isThere })))
})
