import { randomInt } from "node:crypto"
import { createSocket } from "node:dgram"
import { createServer } from "node:net"
import { Effect } from "effect"
import { ServerError } from "./ServerError.ts"

/**
 * Below those that Linux gives to outgoing connections (from 32768 on), of which one may take the port of a server that
 * is about to start, or starts again; and below those of Kubernetes' services.
 */
const [first, end] = [15_000, 30_000] as const

/**
 * Keeps a port from all who ask here, in this process or in another part of the suite, until this process ends: a server
 * may not listen there yet, or be stopped for a while. UDP has ports of its own, which no server of the tests uses.
 */
const isReserved = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = createSocket("udp4").unref()
    socket.once("error", () => socket.close(() => resume(Effect.succeed(false))))
    socket.bind({ port, address: "127.0.0.1", exclusive: true }, () => resume(Effect.succeed(true)))
  })

const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

/** A port of 127.0.0.1 that nobody listens on now, and that is given to nobody else. */
export const freePort: Effect.Effect<number, ServerError> = Effect.gen(function* () {
  for (let attempt = 0; attempt < 1000; attempt++) {
    // the seed of a test says when it kills, and not where its servers are
    const port = yield* Effect.sync(() => randomInt(first, end))
    if ((yield* isReserved(port)) && (yield* isFree(port))) return port
  }
  return yield* new ServerError({ message: `no free port of 127.0.0.1 between ${first} and ${end}` })
})
