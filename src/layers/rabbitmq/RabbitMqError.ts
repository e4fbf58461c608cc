/** What an error of the broker or of the socket means for us. */
import { Predicate } from "effect"
import { BrokerAway, BrokerError, BrokerRefused, MessageRefused, Unroutable } from "../../domain/ports/Broker.ts"

const noVirtualHost = "530: the virtual host is missing, closed to this user, or at its limit of connections"

const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
  // All that amqplib says when the broker ends the handshake at the virtual host.
  if (/^Expected ConnectionOpenOk; got <ConnectionClose/.test(cause.message)) return noVirtualHost
  return code ?? cause.message.replace(/\s+/g, " ").trim()
}

// 403: credentials or permission, 530: no such virtual host. One that is still starting says "is down" and comes up.
const isRefusal = (text: string): boolean =>
  /\b403\b|ACCESS.REFUSED|\b530\b|NOT.ALLOWED/.test(text) && !/is down/.test(text)

/** Our error for one of amqplib's; `doing` says what was tried. Neither quotes a URL or a body. */
export const brokerError =
  (address: string, doing: string) =>
  (cause: unknown): BrokerError => {
    const text = describe(cause)
    if (/\bmessage nacked\b/.test(text)) return nacked(address, doing)
    if (!isRefusal(text)) return away(address, `${doing}: ${text}`)
    const mend = "check RABBITMQ_URL, or RABBITMQ_USER, RABBITMQ_PASS and the user's permissions on the virtual host"
    return new BrokerError({
      reason: new BrokerRefused({ detail: `RabbitMQ at ${address}: ${doing}: ${text}; ${mend}` })
    })
  }

/** The broker is away, and why. */
export const away = (address: string, detail: string): BrokerError =>
  new BrokerError({ reason: new BrokerAway({ detail: `RabbitMQ at ${address}: ${detail}` }) })

/** The broker, or the protocol, takes no such message. */
export const messageRefused = (address: string, detail: string): BrokerError =>
  new BrokerError({ reason: new MessageRefused({ detail: `RabbitMQ at ${address}: publish: ${detail}` }) })

/** The largest body that the broker takes, where an error of its tells. */
export const largestBodyIn = ({ message }: BrokerError): number | undefined => {
  const largest = message.match(/larger than configured max size (\d+)/)?.[1]
  return largest === undefined ? undefined : Number(largest)
}

// The connection is well, and so are other queues: a queue is full and says so (overflow), or has lost its majority.
const nacked = (address: string, doing: string): BrokerError => {
  const detail = `RabbitMQ at ${address}: ${doing}: a queue that the message is for does not take it now (nack)`
  return new BrokerError({ reason: new Unroutable({ detail }) })
}
