/** Layers whose modules are loaded when they are built: a process pays for none that it has no use for. */
import { Effect, Layer } from "effect"

/** A layer of a module. */
export const loaded = <M, A, E, R>(
  module: () => Promise<M>,
  layerOf: (module: M) => Layer.Layer<A, E, R>
): Layer.Layer<A, E, R> => Layer.unwrap(Effect.map(Effect.promise(module), layerOf))
