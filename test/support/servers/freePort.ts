import { randomInt } from "node:crypto"
import { createServer } from "node:net"
import { Effect } from "effect"
import { ServerError } from "./ServerError.ts"

/**
 * Below those that Linux gives to outgoing connections (from 32768 on), of which one may take the port of a server that
 * is about to start, or starts again; and below those of Kubernetes' services.
 */
const [first, end] = [15_000, 30_000] as const

// Of two that are asked for together, each has to be its own.
const given = new Set<number>()

const isFree = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

/** A port of 127.0.0.1 that nobody listens on now, and that was not given before. */
export const freePort: Effect.Effect<number, ServerError> = Effect.gen(function* () {
  for (let attempt = 0; attempt < 1000; attempt++) {
    // the seed of a test says when it kills, and not where its servers are
    const port = yield* Effect.sync(() => randomInt(first, end))
    if (given.has(port) || !(yield* isFree(port))) continue
    given.add(port)
    return port
  }
  return yield* new ServerError({ message: `no free port of 127.0.0.1 between ${first} and ${end}` })
})
