/** A message as it goes over the wire and comes back: properties, and headers that mean something to the broker. */
import type { MessageProperties, Options } from "amqplib"
import type { HeaderValue, MessageContent, Properties } from "../../domain/ports/Broker.ts"

type Headers = Readonly<Record<string, HeaderValue>>

/** A message on its way to an exchange; the one without a name takes the routing key for the name of a queue. */
export interface Envelope {
  readonly exchange: string
  readonly routingKey: string
  readonly content: MessageContent
}

/** A message for a queue, by way of the exchange without a name. */
export const toQueue = (queue: string, content: MessageContent): Envelope => ({
  exchange: "",
  routingKey: queue,
  content
})

/** The broker reads these two as further queues to route to, and would deliver a dead letter to strangers. */
const routingHeaders = ["CC", "BCC"]

const renamed = (headers: Headers, rename: (name: string) => string): Headers =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [rename(name), value]))

/** By which the confirm machinery knows a message that comes back: in the correlation id, where that is free. */
const confirmPrefix = "paystream-confirm-"
const confirmHeader = "x-paystream-confirm"

const isConfirmId = (id: unknown): boolean => typeof id === "string" && id.startsWith(confirmPrefix)

// Not the expiration, which would lose a dead letter, nor the user id, which must be that of our own connection.
const textsToRepeat = ["contentEncoding", "correlationId", "replyTo", "type", "appId"]
const numbersToRepeat = ["priority", "timestamp"]
const toTell = { expiration: "x-original-expiration", userId: "x-original-user-id" } as const

// Text that was no UTF-8 grows when it is decoded; the protocol takes 255 bytes.
const fits = (value: unknown): boolean =>
  typeof value === "string" && Buffer.byteLength(value) <= 255 && !isConfirmId(value)

const repeated = (properties: Properties): Properties => ({
  ...Object.fromEntries(textsToRepeat.map((name) => [name, properties[name]]).filter(([, value]) => fits(value))),
  ...Object.fromEntries(
    numbersToRepeat.map((name) => [name, properties[name]]).filter(([, value]) => Number.isSafeInteger(value))
  )
})

const told = (properties: Properties): Headers =>
  Object.fromEntries(
    Object.entries(toTell).flatMap(([name, header]) =>
      typeof properties[name] === "string" ? [[header, properties[name]]] : []
    )
  )

// Looked for first: to copy the headers of every message costs more than all the rest here.
const withoutRouting = (headers: Headers): Headers =>
  routingHeaders.some((name) => name in headers)
    ? renamed(headers, (name) => (routingHeaders.includes(name) ? `x-original-${name}` : name))
    : headers

/** What amqplib wants to know about a message. */
export const propertiesOf = (message: MessageContent): Options.Publish => ({
  persistent: true,
  mandatory: true,
  headers: {
    ...withoutRouting(message.headers),
    ...(message.properties && told(message.properties))
  },
  ...(message.id === undefined ? {} : { messageId: message.id }),
  ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
  ...(message.publishedAtMillis === undefined ? {} : { timestamp: Math.floor(message.publishedAtMillis / 1000) }),
  ...(message.properties && repeated(message.properties))
})

/** The same with the number of its confirm. */
export const numbered = (properties: Options.Publish, number: number) => {
  const id = `${confirmPrefix}${number}`
  return properties.correlationId === undefined
    ? { id, properties: { ...properties, correlationId: id } }
    : { id, properties: { ...properties, headers: { ...properties.headers, [confirmHeader]: id } } }
}

/** By which a message that came back is known. */
export const confirmIdOf = ({ correlationId, headers }: MessageProperties): string =>
  String(headers?.[confirmHeader] ?? correlationId)

/** The headers of a delivery without the number that it was published under. */
export const headersWithoutConfirm = (headers: Headers): Headers => {
  if (!(confirmHeader in headers)) return headers
  const { [confirmHeader]: _, ...others } = headers
  return others
}

// What the broker adds to a dead letter; and it drops a message whose x-death says that it goes round in a circle.
const deathHeader = /^x-(?:death|(?:first|last)-death-\w+)$/
const setAside = "x-paystream-kept-"

/** Headers of a delivery that is published again: the broker's count of deliveries would be taken for that of the new one. */
export const headersToRepeat = ({ "x-delivery-count": _, ...headers }: Headers): Headers => headers

/** Headers for a stay in a delay queue: those about an earlier death are out of the broker's sight there. */
export const headersForDelay = (headers: Headers): Headers =>
  renamed(headers, (name) => (deathHeader.test(name) ? `${setAside}${name}` : name))

/** The prefix of the names of a queue's delay queues. */
export const delayQueuePrefix = (queue: string): string => `${queue}.retry.`

/** Headers as they were before a stay in a delay queue of this queue, if there was one. */
export const headersAfterDelay = (headers: Headers, queue: string): Headers => {
  const died = headers["x-first-death-queue"]
  if (typeof died !== "string" || !died.startsWith(delayQueuePrefix(queue))) return headers
  const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !deathHeader.test(name)))
  return renamed(kept, (name) => (name.startsWith(setAside) ? name.slice(setAside.length) : name))
}
