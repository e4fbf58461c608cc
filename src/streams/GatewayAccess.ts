/**
 * What to do when the payment provider does not let us in: no payment is to fail for that, and no work on payments helps.
 *
 * A process whose work that is ends in order, with the refusal: whoever runs it sees why, and what was in its hands has
 * gone back. One that does other things too tells of it, and goes on with those.
 */
import { Context, Deferred, Effect, Layer } from "effect"
import type { GatewayError } from "../domain/ports/PaymentGateway.ts"
import { Shutdown } from "./Shutdown.ts"

const tell = ({ message }: GatewayError) =>
  Effect.logError(`the payment provider does not let us in, payments wait: ${message}`)

export class GatewayAccess extends Context.Service<
  GatewayAccess,
  {
    /** Takes note of it; whoever does so leaves the payment as it is. */
    readonly refused: (error: GatewayError) => Effect.Effect<void>
  }
>()("paystream/streams/GatewayAccess") {
  /** For a process that goes on. */
  static readonly telling = Layer.succeed(GatewayAccess, { refused: tell })
}

/** Runs work on payments. The provider's refusal stops the process, and is what the work fails with once it is done. */
export const unlessNotLetIn = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const refusal = yield* Deferred.make<never, GatewayError>()
    const refused = Effect.fnUntraced(function* (error: GatewayError) {
      const isFirst = yield* Deferred.fail(refusal, error)
      if (isFirst) yield* Effect.andThen(tell(error), shutdown.request)
    })
    const done = yield* Effect.provideService(work, GatewayAccess, { refused })
    return (yield* Deferred.isDone(refusal)) ? yield* Deferred.await(refusal) : done
  })
