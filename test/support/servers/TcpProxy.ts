import { connect, createServer, type Server, type Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { ServerError } from "./ServerError.ts"

/** Stands between a client and a server, and fails as networks do. */
export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** Breaks every connection, and each new one at once. */
  readonly cut: Effect.Effect<void>
  /** Breaks a connection, old or new, whose client sends bytes that contain these, instead of forwarding them. */
  readonly cutAt: (bytes: Buffer) => Effect.Effect<void>
  /** Adds something to what a server sends, where that contains these bytes: it comes in the same moment. */
  readonly addTo: (bytes: Buffer, more: Buffer) => Effect.Effect<void>
  /** Keeps every connection open, old and new, and forwards nothing: the fault that only a heartbeat notices. */
  readonly freeze: Effect.Effect<void>
  /** The same for the connections that there are, for good; new ones work. */
  readonly stall: Effect.Effect<void>
  /** Forwards again, also what was held back. */
  readonly heal: Effect.Effect<void>
}

type State = "healthy" | "cut" | "frozen"

interface Addition {
  readonly where: Buffer
  readonly more: Buffer
}

const added = (bytes: Buffer, { more, where }: Addition): Buffer =>
  bytes.includes(where) ? Buffer.concat([bytes, more]) : bytes

interface Address {
  readonly host: string
  readonly port: number
}

/** A proxy in front of a server, on a free port of 127.0.0.1 unless told, closed with the scope. */
export const start = (
  target: Address,
  at: Address = { host: "127.0.0.1", port: 0 }
): Effect.Effect<TcpProxy, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    let state: State = "healthy"
    let fatal: Buffer | undefined
    let addition: Addition | undefined
    const become = (next: State) =>
      Effect.sync(() => {
        state = next
        fatal = undefined
        addition = undefined
        for (const socket of sockets) apply(state, socket)
      })
    const server = createServer((client) => {
      const upstream = connect(target)
      for (const [from, to] of [
        [client, upstream],
        [upstream, client]
      ] as const) {
        sockets.add(from)
        from.on("data", (bytes) => {
          if (from === client && fatal !== undefined && bytes.includes(fatal)) apply("cut", from)
          else to.write(from === upstream && addition !== undefined ? added(bytes, addition) : bytes)
        })
        from.on("error", () => {})
        from.on("close", () => {
          sockets.delete(from)
          to.destroy()
        })
        apply(state, from)
      }
    })
    const stall = Effect.sync(() => {
      for (const socket of sockets) socket.pause()
    })
    const cutAt = (bytes: Buffer) =>
      Effect.sync(() => {
        fatal = bytes
      })
    const addTo = (where: Buffer, more: Buffer) =>
      Effect.sync(() => {
        addition = { where, more }
      })
    const port = yield* Effect.acquireRelease(listen(server, at), () => Effect.andThen(become("cut"), close(server)))
    return {
      host: at.host,
      port,
      cut: become("cut"),
      cutAt,
      addTo,
      freeze: become("frozen"),
      stall,
      heal: become("healthy")
    }
  })

const apply = (state: State, socket: Socket): void => {
  if (state === "cut") socket.resetAndDestroy()
  else if (state === "frozen") socket.pause()
  else socket.resume()
}

const listen = (server: Server, { host, port }: Address): Effect.Effect<number, ServerError> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => resume(new ServerError({ message: "the proxy cannot listen", cause })))
    server.listen(port, host, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => void server.close(() => resume(Effect.void)))
