/** Stands between a worker and RabbitMQ, and counts what the broker hands out: reads the frames of AMQP 0-9-1. */
import { connect, createServer, type Server } from "node:net"
import { Effect, type Scope } from "effect"

export interface DeliveryTap {
  /** The address of the broker by way of the tap. */
  readonly url: string
  readonly deliveries: () => number
  /** Those of them that the broker marks as given out before. */
  readonly redeliveries: () => number
}

const methodFrame = 1
const headerBytes = 7
const endBytes = 1
/** `basic.deliver`: class 60, method 60. */
const isDeliver = (payload: Buffer): boolean => payload.readUInt16BE(0) === 60 && payload.readUInt16BE(2) === 60

/** After class and method: the consumer's tag (its length first), eight bytes of delivery tag, and the mark. */
const isRedelivered = (payload: Buffer): boolean => (payload.readUInt8(4 + 1 + payload.readUInt8(4) + 8) & 1) === 1

/** Cuts a stream of bytes into frames, whatever pieces it arrives in. */
const onMethods = (each: (payload: Buffer) => void) => {
  let pending = Buffer.alloc(0)
  return (bytes: Buffer): void => {
    pending = Buffer.concat([pending, bytes])
    while (pending.length >= headerBytes) {
      const end = headerBytes + pending.readUInt32BE(3) + endBytes
      if (pending.length < end) return
      if (pending.readUInt8(0) === methodFrame) each(pending.subarray(headerBytes, end - endBytes))
      pending = pending.subarray(end)
    }
  }
}

/** A tap in front of the broker, on a free port, closed with the scope. */
export const start = (brokerUrl: string): Effect.Effect<DeliveryTap, never, Scope.Scope> =>
  Effect.gen(function* () {
    const counted = { deliveries: 0, redeliveries: 0 }
    const count = (payload: Buffer) => {
      if (!isDeliver(payload)) return
      counted.deliveries++
      if (isRedelivered(payload)) counted.redeliveries++
    }
    const url = new URL(brokerUrl)
    const target = { host: url.hostname, port: Number(url.port) }
    const server = createServer((client) => {
      const upstream = connect(target)
      upstream.on("data", onMethods(count))
      upstream.pipe(client)
      client.pipe(upstream)
      for (const [one, other] of [
        [client, upstream],
        [upstream, client]
      ] as const) {
        one.on("error", () => undefined)
        one.on("close", () => other.destroy())
      }
    })
    url.port = String(yield* Effect.acquireRelease(listen(server), () => Effect.sync(() => server.close())))
    return { url: url.href, deliveries: () => counted.deliveries, redeliveries: () => counted.redeliveries }
  })

const listen = (server: Server): Effect.Effect<number> =>
  Effect.callback((resume) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
