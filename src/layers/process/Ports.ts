/** Ports that nobody listens at, kept for whoever is going to. */
import { createSocket, type Socket } from "node:dgram"
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

// Between the release of a port and its use nobody listens at it: the same number of UDP, bound for as long as the port
// is in use, tells it from a free one to the next that looks.
const marking = (port: number, host: string): Effect.Effect<Socket | undefined> =>
  Effect.callback((resume) => {
    const socket = createSocket("udp4")
    socket.once("error", () => socket.close(() => resume(Effect.undefined)))
    socket.bind({ port, address: host, exclusive: true }, () => resume(Effect.succeed(socket.unref())))
  })

const close = (opened: Server | Socket): Effect.Effect<void> =>
  Effect.callback((resume) => {
    opened.close(() => resume(Effect.void))
  })

const keep = Effect.fnUntraced(function* (port: number, host: string) {
  const mark = yield* marking(port, host)
  if (mark === undefined) return undefined
  const server = yield* listening(port, host)
  if (server !== undefined) return { mark, server }
  yield* close(mark)
  return undefined
}, Effect.uninterruptible)

/** So many in a row are hardly ever all taken. */
const tries = 100

/**
 * Keeps the first free port from `first` on, so that two programs that look do not find the same until the scope closes;
 * `first` itself where all are taken, for whoever listens there to say what is wrong.
 */
export const keepFrom = Effect.fnUntraced(function* (
  first: number,
  host: string
): Effect.fn.Return<KeptPort, never, Scope.Scope> {
  for (let port = first; port < first + tries; port++) {
    const kept = yield* keep(port, host)
    if (kept === undefined) continue
    yield* Effect.addFinalizer(() => Effect.andThen(close(kept.server), close(kept.mark)))
    return { port, release: close(kept.server) }
  }
  return { port: first, release: Effect.void }
})
