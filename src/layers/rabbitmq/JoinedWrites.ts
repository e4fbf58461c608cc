/**
 * What is written at one moment leaves together. The client writes each message by itself to a socket that waits for no
 * more (`noDelay`): a system call and a packet each, and a record each where there is TLS, which costs more than all else
 * that is done to a small message, here and at the broker.
 */
import { Duplex } from "node:stream"
import type { ChannelModel } from "amqplib"

/** The socket of a client's connection, which its types do not tell of. */
export const socketOf = ({ connection }: ChannelModel): unknown => Reflect.get(connection, "stream")

/** Holds the writes of a stream until the end of the turn in which the first of them came: none waits for another one. */
export const joinWrites = (stream: unknown): void => {
  if (!(stream instanceof Duplex)) return
  const write = stream.write.bind(stream)
  let isHolding = false
  const leave = (): void => {
    isHolding = false
    stream.uncork()
  }
  const hold = (): void => {
    if (isHolding) return
    isHolding = true
    stream.cork()
    process.nextTick(leave)
  }
  const held = (...given: Parameters<typeof write>): boolean => {
    hold()
    return write(...given)
  }
  Object.assign(stream, { write: held })
}
