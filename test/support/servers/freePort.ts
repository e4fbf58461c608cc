import { createServer } from "node:net"
import { Effect } from "effect"
import { ServerError } from "./ServerError.ts"

/** A port of 127.0.0.1 that nobody listens on now. */
export const freePort: Effect.Effect<number, ServerError> = Effect.callback((resume) => {
  const server = createServer()
  server.once("error", (cause) => resume(new ServerError({ message: "no free port", cause })))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    server.close(() => resume(Effect.succeed(port)))
  })
})
