/** What an error of the broker or of the socket means for us. */
import { Predicate } from "effect"
import { BrokerAway, BrokerError, BrokerRefused, MessageRefused, Unroutable } from "../../domain/ports/Broker.ts"
import { tlsFailure } from "../../domain/TlsFailure.ts"

const noVirtualHost = "530: the virtual host is missing, closed to this user, or at its limit of connections"

const codeOf = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

const describe = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  const code = codeOf(cause)
  // All that amqplib says when the broker ends the handshake at the virtual host.
  if (/^Expected ConnectionOpenOk; got <ConnectionClose/.test(cause.message)) return noVirtualHost
  return code ?? cause.message.replace(/\s+/g, " ").trim()
}

// Credentials or permission; no such virtual host. By code and name: a queue may have a number in its name.
const refusals = /\b403 \(ACCESS-REFUSED\)|\b530 \(NOT-ALLOWED\)|^530: /

// A virtual host that is still starting "is down", and comes up.
const isRefusal = (text: string): boolean => refusals.test(text) && !/\bis down\b/.test(text)

/** Our error for one of amqplib's; `doing` says what was tried. Neither quotes a URL or a body. */
export const brokerError =
  (address: string, doing: string) =>
  (cause: unknown): BrokerError => {
    const refused = (detail: string, mend: string) =>
      new BrokerError({ reason: new BrokerRefused({ detail: `RabbitMQ at ${address}: ${doing}: ${detail}; ${mend}` }) })
    const failure = tlsFailure(codeOf(cause))
    if (failure !== undefined)
      return refused(failure, "check RABBITMQ_URL, RABBITMQ_SSL_CA, RABBITMQ_SSL_CERT and RABBITMQ_SSL_KEY")
    const text = describe(cause)
    if (/\bmessage nacked\b/.test(text)) return nacked(address, doing)
    if (!isRefusal(text)) return away(address, `${doing}: ${text}`)
    const credentials = "check RABBITMQ_URL, or RABBITMQ_USER, RABBITMQ_PASS and the user's"
    return refused(text, `${credentials} permissions on the virtual host`)
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
