/** Ports that nobody listens at. */
import { createServer } from "node:net"
import { Effect } from "effect"

const isFree = (port: number, host: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const server = createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, host, () => server.close(() => resume(Effect.succeed(true))))
  })

/** So many in a row are hardly ever all taken. */
const tries = 100

/** The first free port from `first` on; `first` itself where none is found, for whoever listens to say what is wrong. */
export const freePortFrom = Effect.fnUntraced(function* (first: number, host: string) {
  for (let port = first; port < first + tries; port++) if (yield* isFree(port, host)) return port
  return first
})
