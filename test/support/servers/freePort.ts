import { createServer } from "node:net"
import { Effect } from "effect"
import { ServerError } from "./ServerError.ts"

// The system may give the same port again at once: of two that are asked for together, each has to be its own.
const given = new Set<number>()

const portNow: Effect.Effect<number, ServerError> = Effect.callback((resume) => {
  const server = createServer()
  server.once("error", (cause) => resume(new ServerError({ message: "no free port", cause })))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})

/** A port of 127.0.0.1 that nobody listens on now, and that was not given before. */
export const freePort: Effect.Effect<number, ServerError> = portNow.pipe(
  Effect.repeat({ while: (port) => given.has(port) }),
  Effect.tap((port) => Effect.sync(() => given.add(port)))
)
