/** How a channel or a connection is closed, and whether it is. */
import { Duplex } from "node:stream"
import type { Channel, ChannelModel } from "amqplib"
import { socketOf } from "./JoinedWrites.ts"

/**
 * Closes it; returns when it is closed, by the broker's answer or by the loss of the connection: where that is lost
 * meanwhile, what amqplib promises never comes, and only the event tells. Rejects what was closed before.
 */
export const close = (open: Channel | ChannelModel): Promise<void> =>
  new Promise((resolve, reject) => {
    open.once("close", () => resolve())
    open.close().then(resolve, reject)
  })

/**
 * Throws if a connection is closed. One that was just opened may be: where the broker says both in one breath, amqplib
 * has told of the end by the time it hands over the beginning.
 */
export const throwIfClosed = (model: ChannelModel): void => {
  const socket = socketOf(model)
  if (socket instanceof Duplex && !socket.writable) throw new Error("closed by the broker as it was opened")
}
