/** Work that is begun without a fiber: of most messages nothing is left to be run then, and a fiber's steps are saved. */
import { Effect, Exit } from "effect"

/** Begins work here and now. What is thrown is a defect, as in a fiber. */
export const atOnce = <A, E, R>(begin: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return begin()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** The success that an Effect is already, if it is one. */
export const successOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Exit.Success<A> | undefined =>
  Exit.isExit(effect) && Exit.isSuccess(effect) ? (effect as Exit.Success<A>) : undefined
