/** Dead letters as a topic worker makes them. */
import type { Delivery, TopicMessage } from "../../src/domain/ports/Broker.ts"
import { type WorkerFailure, workerDeadLetter } from "../../src/domain/WorkerDeadLetter.ts"
import { readOriginal } from "../../src/streams/WorkerMessages.ts"

/** What the group `g` of a topic makes of a delivery that it gives up. */
export const letterOf = (delivery: Delivery, topic: string, fields: Partial<WorkerFailure> = {}): TopicMessage =>
  workerDeadLetter({
    delivery,
    id: delivery.id,
    original: readOriginal(delivery),
    worker: "w",
    group: "g",
    isFromOwnQueue: false,
    source: topic,
    deadLetterTopic: `${topic}.dlq`,
    reason: "retries_exhausted",
    error: "no",
    retries: 3,
    time: "2026-01-01T00:00:00.000Z",
    ...fields
  })
