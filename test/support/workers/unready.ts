/** A module that never gets ready: as it is loaded, in its layer, where its handlers are made, or in its onStart. */
import { Console, Effect, Layer } from "effect"
import { Worker } from "paystream"

const { UNREADY } = process.env

const waiting = Effect.andThen(Console.log(`waiting in ${UNREADY}`), Effect.never)

if (UNREADY === "import") await Effect.runPromise(waiting)

export const layer = UNREADY === "layer" ? Layer.effectDiscard(waiting) : Layer.empty

export const onStart = UNREADY === "onStart" ? waiting : Effect.void

export const orders = Worker.make(
  "orders",
  { topic: "unready.orders" },
  UNREADY === "handlers" ? waiting : Effect.succeed({ process: () => Effect.void })
)
