/** The topics of payments, for a broker where they have to be made: those of the commands, and one for each status. */
import { Duration } from "effect"
import { eventTopic } from "../domain/PaymentMessages.ts"
import { transitions } from "../domain/PaymentState.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import { paymentCommands } from "../streams/PaymentCommands.ts"
import type { Any } from "../streams/Worker.ts"

/** Asked for its topics alone: it processes nothing. */
export const commandWorker: Any = paymentCommands({
  lease: Duration.minutes(1),
  isCompensating: true,
  concurrency: 1,
  retry: RetryPolicy.none
})

/** What is told of payments. */
export const eventTopics: ReadonlyArray<string> = (
  Object.keys(transitions) as ReadonlyArray<keyof typeof transitions>
).map(eventTopic)
