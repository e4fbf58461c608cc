/** Jobs that were added by hand: each publishes its payload to a topic, where a topic worker does the work. */
import { Duration, Effect } from "effect"
import type { Broker } from "../domain/ports/Broker.ts"
import type { KeptJob } from "../domain/ports/JobHistory.ts"
import * as RetryPolicy from "../domain/RetryPolicy.ts"
import type { Runnable } from "./JobBook.ts"
import { publishText } from "./Worker.ts"

/** Two minutes in all: a broker that restarts is back by then. */
const retry = RetryPolicy.exponential({ maxRetries: 6, maxDelay: "60 seconds" })

/** Longer than any confirm takes. */
const timeout = Duration.seconds(30)

/** What such a job does. The message has the same id in each attempt. */
export const addedJob = ({ name, publishes }: KeptJob): Runnable<Broker> => ({
  name,
  timeout,
  retry,
  run:
    publishes === undefined
      ? Effect.die(new Error(`the job ${name} has no topic`))
      : Effect.as(publishText(publishes.topic, publishes.payload), { topic: publishes.topic })
})
