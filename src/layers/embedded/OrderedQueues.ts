/**
 * Queues of ordered groups: the library's own policy for them hands out a key's oldest job alone, and none while one of
 * that key is in somebody's hands.
 */
import { createHash } from "node:crypto"
import { Effect, Predicate } from "effect"
import { BrokerError, BrokerRefused, type MessageContent } from "../../domain/ports/Broker.ts"
import type { JobQueue } from "./JobQueue.ts"

/** The library's name for it. */
export const keyByKey = "key_strict_fifo"

/** What an index takes for a message's key, however long and whatever its characters. */
export const keyOf = ({ headers }: MessageContent): string | undefined =>
  Predicate.isString(headers.key) ? createHash("sha256").update(JSON.stringify(headers.key)).digest("hex") : undefined

const policyOf = (jobs: JobQueue, name: string) =>
  Effect.map(
    jobs.use((boss) => boss.getQueue(name)),
    (queue) => queue?.policy
  )

/** Makes the queue of an ordered group; refuses one that was made otherwise. */
export const ensure = Effect.fnUntraced(function* (jobs: JobQueue, name: string, options: object) {
  yield* jobs.use((boss) => boss.createQueue(name, { ...options, policy: keyByKey }))
  if ((yield* policyOf(jobs, name)) === keyByKey) return
  const detail =
    `embedded broker at ${jobs.address}: queue ${name} exists and was not made for an ordered group: ` +
    "delete it once it is empty, or choose another groupId"
  return yield* new BrokerError({ reason: new BrokerRefused({ detail }) })
})

/** Whether rows of this queue need a key; a queue keeps its policy as long as it lives. */
export const isOrdered = (jobs: JobQueue, name: string): Effect.Effect<boolean, BrokerError> => {
  const found = jobs.policies.get(name)
  if (found !== undefined) return Effect.succeed(found === keyByKey)
  return Effect.map(policyOf(jobs, name), (policy) => {
    if (policy !== undefined) jobs.policies.set(name, policy)
    return policy === keyByKey
  })
}
