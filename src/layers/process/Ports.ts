/** Ports that nobody listens at, kept for whoever is going to. */
import { createServer, type Server } from "node:net"
import { Effect, type Scope } from "effect"

/** A port in our hands. */
export interface KeptPort {
  readonly port: number
  /** Lets go of it: to be done right before it is listened at. */
  readonly release: Effect.Effect<void>
}

const listening = (port: number, host: string): Effect.Effect<Server | undefined> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.undefined))
    server.listen(port, host, () => resume(Effect.succeed(server.unref())))
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
  })

/** So many in a row are hardly ever all taken. */
const tries = 100

/**
 * Keeps the first free port from `first` on, so that two programs that look at once do not find the same; `first`
 * itself where all are taken, for whoever listens there to say what is wrong.
 */
export const keepFrom = Effect.fnUntraced(function* (
  first: number,
  host: string
): Effect.fn.Return<KeptPort, never, Scope.Scope> {
  for (let port = first; port < first + tries; port++) {
    const server = yield* listening(port, host)
    if (server === undefined) continue
    yield* Effect.addFinalizer(() => close(server))
    return { port, release: close(server) }
  }
  return { port: first, release: Effect.void }
})
