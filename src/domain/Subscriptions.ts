/**
 * What a worker subscribes to: its group's copies of a topic's messages, or the topic's own queue, which has the topic's
 * very name and keeps each message once, consumed or not. Dead letters and commands are kept so.
 */
import { isCommand } from "./OutboxEvent.ts"

/** The topics of dead letters that these workers name, whatever the names. */
export const deadLetterTopicsOf = (workers: ReadonlyArray<{ readonly dlqTopic: string }>): ReadonlySet<string> =>
  new Set(workers.map(({ dlqTopic }) => dlqTopic))

/** Whether a topic holds dead letters: its name says so, or it is known to. */
export const isDeadLetterTopic = (topic: string, known: ReadonlySet<string>): boolean =>
  topic.endsWith(".dlq") || known.has(topic)

/** Whether each message of a topic is kept once, for one worker, in the topic's own queue. */
export const hasOwnQueue = (topic: string, deadLetterTopics: ReadonlySet<string>): boolean =>
  isDeadLetterTopic(topic, deadLetterTopics) || isCommand(topic)

/** The group that a worker subscribes with; none where the topic has its own queue. */
export const groupOf = (
  { groupId, topic }: { readonly groupId: string; readonly topic: string },
  deadLetterTopics: ReadonlySet<string>
): string | undefined => (hasOwnQueue(topic, deadLetterTopics) ? undefined : groupId)
