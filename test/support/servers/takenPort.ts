import { type AddressInfo, createServer, type Server } from "node:net"
import { Effect, type Scope } from "effect"
import { ServerError } from "./ServerError.ts"

const listening = Effect.callback<Server, ServerError>((resume) => {
  const server = createServer()
  server.once("error", (cause) => resume(new ServerError({ message: "no port to take", cause })))
  server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
})

/** A port of 127.0.0.1 that somebody listens at, from before it is known until the scope closes. */
export const takenPort: Effect.Effect<number, ServerError, Scope.Scope> = Effect.acquireRelease(listening, (server) =>
  Effect.sync(() => void server.close())
).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
