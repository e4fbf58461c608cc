/** What handlers give, on its way to the output topic: many messages with one call. */
import { Effect, Predicate } from "effect"
import { Broker, type BrokerError, type TopicMessage } from "../domain/ports/Broker.ts"
import type { Handled, InHand } from "./InHand.ts"
import { headersOf } from "./OutputHeaders.ts"
import { setAside } from "./WorkerLetters.ts"
import { keyOf } from "./WorkerMessages.ts"

/** What an output is made of. */
export interface OutputParts {
  readonly topic: string
  readonly id: string | undefined
  readonly text: string
  readonly publishedAtMillis: number
}

/** The output of an input, whose key and whose trace it takes over. */
export const outputOf = (inHand: InHand, { id, publishedAtMillis, text, topic }: OutputParts): TopicMessage => ({
  topic,
  id,
  // from a pool: on Node, memory of its own for each takes ten times as long
  body: Buffer.from(text),
  contentType: "application/json",
  publishedAtMillis,
  headers: headersOf(keyOf(inHand.delivery), inHand.worker.outputVersion, inHand.trace)
})

/** Confirmed when this returns; the input of an output that the broker takes from nobody is set aside. */
export const publishOutputs = (
  all: ReadonlyArray<Handled>
): Effect.Effect<ReadonlyArray<Handled>, BrokerError, Broker> =>
  Effect.flatMap(refusalOf(all), (refusal) =>
    // Whose fault it is shows when each is tried by itself; what the broker has taken already it takes once more.
    refusal === undefined ? Effect.succeed(all) : Effect.forEach(all, publishOutput)
  )

/** Confirmed when this returns, or else its input is set aside. */
export const publishOutput = (one: Handled): Effect.Effect<Handled, BrokerError, Broker> =>
  Effect.flatMap(refusalOf([one]), (refusal) =>
    refusal === undefined ? Effect.succeed(one) : setAside(one.inHand, "invalid_output", refusal.message)
  )

/** Why the broker takes them from nobody, if it does not. */
const refusalOf = (all: ReadonlyArray<Handled>): Effect.Effect<BrokerError | undefined, BrokerError, Broker> => {
  const outputs = all.map(({ output }) => output).filter(Predicate.isNotUndefined)
  if (outputs.length === 0) return Effect.undefined
  return Effect.matchEffect(
    Broker.use((broker) => broker.publishToTopics(outputs)),
    {
      onFailure: (error) => (error.blamesMessage ? Effect.succeed(error) : Effect.fail(error)),
      onSuccess: () => Effect.undefined
    }
  )
}
