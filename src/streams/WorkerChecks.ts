/**
 * What is wrong with the declaration of workers, all of it at once, before any of them runs.
 *
 * A group's queue is `<topic>.<group>`, and that of dead letters or of a command is `<topic>`; other queues are derived
 * from them.
 * A group without a dot makes that unambiguous, whichever processes run the workers.
 */
import { Array as Arr, Duration, Effect, Schema } from "effect"
import { isCommand } from "../domain/OutboxEvent.ts"
import { groupQueue } from "../domain/ports/Broker.ts"
import { deadLetterTopicsOf, hasOwnQueue, isDeadLetterTopic } from "../domain/Subscriptions.ts"
import { bytesIn, longestId } from "../domain/WorkerIds.ts"
import type { Any } from "./Worker.ts"

/** Workers that cannot run as they are declared. */
export class WorkerMistake extends Schema.TaggedError<WorkerMistake>()("WorkerMistake", {
  problems: Schema.Array(Schema.String)
}) {
  readonly isRetryable = false
  override get message(): string {
    return [`The workers cannot run as they are declared:`, ...this.problems.map((one) => `  ${one}`)].join("\n")
  }
}

/** Enough waits behind each handler that a slow key does not leave the others without work. */
export const prefetchPerHandler = 8
/** AMQP counts the prefetch in 16 bits. */
const maxConcurrency = Math.floor(65_535 / prefetchPerHandler)
/** Ids of outputs and dead letters are made of them, beside the input's. */
const longestName = 64
/** Of 255 bytes that a broker takes: the names of delay queues are made of it. */
const longestQueue = 230

/** Each is a queue, and a channel in every process. */
const maxPartitions = 256

/** Names of queues that a broker makes beside those of the groups. */
const reservedGroups = ["dlq", "retry", "unrouted"]

const quoted = (text: string): string => JSON.stringify(text)

const nameProblems = (what: string, name: string): ReadonlyArray<string> => {
  if (name === "" || name.trim() !== name || /\p{Cc}/u.test(name)) return [`${what} ${quoted(name)} is no name`]
  return bytesIn(name) > longestName ? [`${what} ${quoted(name)} is longer than ${longestName} bytes`] : []
}

const groupProblems = (group: string): ReadonlyArray<string> => {
  if (reservedGroups.includes(group)) return [`groupId ${quoted(group)} is taken: queues of other kinds are named so`]
  if (!group.includes(".")) return nameProblems("groupId", group)
  return [`groupId ${quoted(group)} has a dot, so that its queue could be another's (the worker's name unless set)`]
}

const topicProblems = (what: string, topic: string | undefined): ReadonlyArray<string> => {
  if (topic === undefined) return []
  if (topic === "" || topic.trim() !== topic || /\p{Cc}/u.test(topic)) return [`${what} ${quoted(topic)} is no name`]
  return bytesIn(topic) > longestId ? [`${what} is longer than ${longestId} bytes`] : []
}

const hasWildcard = (topic: string): boolean => topic.split(".").some((word) => word === "*" || word === "#")

/** Whether a topic with wildcards (`*` one word, `#` any number) takes what is published to another. */
const takes = (pattern: string, topic: string): boolean => {
  const matches = ([first, ...rest]: ReadonlyArray<string>, words: ReadonlyArray<string>): boolean => {
    if (first === undefined) return words.length === 0
    if (first === "#") return words.some((_, skipped) => matches(rest, words.slice(skipped))) || matches(rest, [])
    return words.length > 0 && (first === "*" || first === words[0]) && matches(rest, words.slice(1))
  }
  return matches(pattern.split("."), topic.split("."))
}

const partitionProblems = (ordered: Any["ordered"]): ReadonlyArray<string> => {
  const { partitions } = ordered ?? { partitions: 1 }
  const isFine = Number.isSafeInteger(partitions) && partitions >= 1 && partitions <= maxPartitions
  return isFine ? [] : [`partitions ${partitions} is no whole number from 1 to ${maxPartitions}`]
}

/** The queue of a worker's group. */
export const queueOf = ({ groupId, topic }: Pick<Any, "groupId" | "topic">): string => groupQueue(topic, groupId)

/** What is wrong with a worker by itself. */
const problemsOf = (worker: Any): ReadonlyArray<string> => {
  const { concurrency, dlqTopic, groupId, hookTimeout, name, ordered, outputTopic, topic } = worker
  const problems = [
    ...nameProblems("its name", name),
    ...groupProblems(groupId),
    ...topicProblems("topic", topic),
    ...topicProblems("outputTopic", outputTopic),
    ...topicProblems("dlqTopic", dlqTopic),
    ...(bytesIn(queueOf(worker)) > longestQueue
      ? [`<topic>.<groupId> is longer than ${longestQueue} bytes, and queues are named after it`]
      : []),
    ...(topic.endsWith(".retry") ? [`topic ${quoted(topic)} ends in .retry: queues for retries are named so`] : []),
    ...(isCommand(topic) && hasWildcard(topic)
      ? [`topic ${quoted(topic)} has a wildcard, and a command is in the queue of its very name: say which one`]
      : []),
    ...(takes(topic, dlqTopic)
      ? [`topic ${quoted(topic)} takes its own dead letters (dlqTopic ${quoted(dlqTopic)})`]
      : []),
    ...(Number.isSafeInteger(concurrency) && concurrency >= 1 && concurrency <= maxConcurrency
      ? []
      : [`concurrency ${concurrency} is no whole number from 1 to ${maxConcurrency}`]),
    ...partitionProblems(ordered),
    ...(Duration.isPositive(hookTimeout) ? [] : [`hookTimeout ${Duration.format(hookTimeout)} is no time at all`])
  ]
  return problems.map((problem) => `worker ${name}: ${problem}`)
}

const twice = (workers: ReadonlyArray<Any>, keyOf: (worker: Any) => string, say: (key: string) => string) =>
  Object.entries(Arr.groupBy(workers, keyOf)).flatMap(([key, same]) =>
    same.length === 1 ? [] : [`workers ${same.map(({ name }) => name).join(", ")}: ${say(key)}`]
  )

const problemsAmong = (workers: ReadonlyArray<Any>): ReadonlyArray<string> => {
  const known = deadLetterTopicsOf(workers)
  const consumesOwnQueue = ({ topic }: Any) => hasOwnQueue(topic, known)
  const alone = workers.filter(consumesOwnQueue)
  const others = workers.filter((worker) => !consumesOwnQueue(worker))
  const queues = new Set(others.filter(({ groupId }) => groupProblems(groupId).length === 0).map(queueOf))
  return [
    ...twice(
      workers,
      ({ name }) => name,
      (name) => `have one name, ${quoted(name)}`
    ),
    ...twice(
      others,
      ({ groupId, topic }) => JSON.stringify([topic, groupId]),
      (key) => `are one group of one topic (${key}): raise concurrency instead`
    ),
    ...twice(
      alone,
      ({ topic }) => topic,
      (topic) =>
        `${isDeadLetterTopic(topic, known) ? "dead letters" : "commands"} of ${quoted(topic)} are kept once, for one worker`
    ),
    ...[...known]
      .filter((topic) => queues.has(topic))
      .map((topic) => `dlqTopic ${quoted(topic)} is the queue of a group`),
    ...alone
      .filter(({ topic }) => queues.has(topic) && !known.has(topic))
      .map(({ name, topic }) => `worker ${name}: topic ${quoted(topic)} is the queue of a group`)
  ]
}

/** Fails with every mistake, of each worker by itself and of all together. */
export const check = (workers: ReadonlyArray<Any>): Effect.Effect<void, WorkerMistake> => {
  const problems = [...workers.flatMap(problemsOf), ...problemsAmong(workers)]
  return problems.length === 0 ? Effect.void : Effect.fail(new WorkerMistake({ problems }))
}
