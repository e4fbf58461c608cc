/** How a channel or a connection is closed. */
import type { Channel, ChannelModel } from "amqplib"

/**
 * Closes it; returns when it is closed, by the broker's answer or by the loss of the connection: where that is lost
 * meanwhile, what amqplib promises never comes, and only the event tells. Rejects what was closed before.
 */
export const close = (open: Channel | ChannelModel): Promise<void> =>
  new Promise((resolve, reject) => {
    open.once("close", () => resolve())
    open.close().then(resolve, reject)
  })
