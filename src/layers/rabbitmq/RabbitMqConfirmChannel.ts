/** A channel on which several callers publish at the same time, each of whom waits for the confirms of their own. */
import type { ConfirmChannel, Message } from "amqplib"
import { Effect } from "effect"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import { close } from "./Closing.ts"
import { confirmIdOf, type Envelope, numbered, propertiesOf } from "./RabbitMqMessage.ts"

/** Without an alarm at the broker, a confirm that takes longer than this will not come. */
export const confirmSeconds = 30

/** What one caller waits for. */
interface Batch {
  secondsWaited: number
  readonly fail: (error: BrokerError) => void
}

export interface OpenChannel {
  readonly channel: ConfirmChannel
  readonly batches: Set<Batch>
  /** Those of messages that came back and are not confirmed yet: the broker returns first, then confirms. */
  readonly returned: Set<string>
  published: number
  isClosed: boolean
  /** Nobody else is to publish on it. */
  isRetired: boolean
  /** Why the broker closed it. */
  problem: Error | undefined
}

/** Takes a new channel over; `onClose` is called before its callers hear of it. */
export const adopt = (channel: ConfirmChannel, onClose: () => void): OpenChannel => {
  const state = { published: 0, isClosed: false, isRetired: false, problem: undefined }
  const open: OpenChannel = { channel, batches: new Set(), returned: new Set(), ...state }
  channel.on("error", (error: Error) => {
    open.problem = error
  })
  channel.on("return", (message: Message) => open.returned.add(confirmIdOf(message.properties)))
  channel.prependListener("close", () => {
    open.isClosed = true
    onClose()
  })
  return open
}

export interface Failures {
  /** Of the broker, or of the channel. */
  readonly failure: (cause: unknown) => BrokerError
  /** Of what the client cannot even write: headers or an id that do not fit. */
  readonly unwritable: (cause: unknown) => BrokerError
}

/** Publishes, and succeeds when all are confirmed: with those that came back. */
export const send = (
  open: OpenChannel,
  envelopes: ReadonlyArray<Envelope>,
  { failure, unwritable }: Failures
): Effect.Effect<ReadonlyArray<Envelope>, BrokerError> =>
  Effect.callback((resume) => {
    const end = (result: Effect.Effect<ReadonlyArray<Envelope>, BrokerError>): void => {
      leave(open, batch)
      resume(result)
    }
    const batch: Batch = { secondsWaited: 0, fail: (error) => end(Effect.fail(error)) }
    const refused = (cause: unknown): void => batch.fail(failure(cause))
    open.batches.add(batch)
    try {
      publishAll(open, envelopes, { confirmed: (returned) => end(Effect.succeed(returned)), refused })
    } catch (cause) {
      batch.fail(open.isClosed ? failure(open.problem ?? cause) : unwritable(cause))
    }
    return Effect.sync(() => leave(open, batch))
  })

const publishAll = (
  open: OpenChannel,
  envelopes: ReadonlyArray<Envelope>,
  on: { readonly confirmed: (returned: ReadonlyArray<Envelope>) => void; readonly refused: (cause: unknown) => void }
): void => {
  const returned: Array<Envelope> = []
  let waiting = envelopes.length
  for (const envelope of envelopes) {
    const { content, exchange, routingKey } = envelope
    const { id, properties } = numbered(propertiesOf(content), ++open.published)
    open.channel.publish(exchange, routingKey, bufferOf(content.body), properties, (error: Error | null) => {
      if (open.returned.delete(id)) returned.push(envelope)
      else if (error !== null) on.refused(open.problem ?? new Error(`refused by the broker: ${error.message}`))
      if (--waiting === 0) on.confirmed(returned)
    })
  }
}

const bufferOf = (body: Uint8Array): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)

const leave = (open: OpenChannel, batch: Batch): void => {
  open.batches.delete(batch)
  if (open.isRetired && !open.isClosed && open.batches.size === 0) closeQuietly(open.channel)
}

const closeQuietly = async (channel: ConfirmChannel): Promise<void> => {
  try {
    await close(channel)
  } catch {
    // It was closed already.
  }
}

/** A second has passed: who has waited for too long fails, and the channel is retired. */
export const tick = (open: OpenChannel, isBlocked: boolean, unconfirmed: BrokerError): void => {
  for (const batch of open.batches) {
    // What a blocked connection has sent is taken when the alarm ends: giving up before would send it twice.
    batch.secondsWaited = isBlocked ? 0 : batch.secondsWaited + 1
    if (batch.secondsWaited <= confirmSeconds) continue
    open.isRetired = true
    batch.fail(unconfirmed)
  }
}
