/** What the broker in memory shows of itself, beside the port. */
import { Context, type Duration, type Effect } from "effect"
import type { TopicMessage } from "../../domain/ports/Broker.ts"

/** What goes through the broker, for who wants to look at it. */
export class Traffic extends Context.Service<
  Traffic,
  {
    /** All that was published to topics, in order. */
    readonly published: Effect.Effect<ReadonlyArray<TopicMessage>>
    /** Messages that are yet to be settled by a consumer that is there: in hand, waiting, or delayed. */
    readonly outstanding: Effect.Effect<number>
    /** The delays that were asked for, in order. */
    readonly delays: Effect.Effect<ReadonlyArray<Duration.Duration>>
  }
>()("paystream/layers/memory/Traffic") {}
