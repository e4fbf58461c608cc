/** What an error of kafkajs, of the broker or of the socket means for us. */

import { Predicate } from "effect"
import { BrokerAway, BrokerError, BrokerRefused, MessageRefused, Unroutable } from "../../domain/ports/Broker.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import { tlsFailure } from "../../domain/TlsFailure.ts"

/** kafkajs wraps what it gave up, and what failed for several topics at once. */
const rootOf = (cause: unknown): unknown => {
  const errors = Predicate.hasProperty(cause, "errors") ? cause.errors : undefined
  if (Array.isArray(errors) && errors.length > 0) return rootOf(errors[0])
  const inner = Predicate.hasProperty(cause, "cause") ? cause.cause : undefined
  return inner instanceof Error ? rootOf(inner) : cause
}

/** The broker's word for what is wrong, if it was the broker. */
export const typeOf = (cause: unknown): string | undefined => {
  const root = rootOf(cause)
  return Predicate.hasProperty(root, "type") && typeof root.type === "string" ? root.type : undefined
}

const codeOf = (cause: unknown): string | undefined =>
  Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined

const describe = (cause: unknown): string => {
  const text = cause instanceof Error ? cause.message : String(cause)
  return `${typeOf(cause) ?? codeOf(cause) ?? ""} ${text}`.replace(/\s+/g, " ").trim()
}

const credentials = "check KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and the user's permissions"
const certificates = "check KAFKA_SSL, KAFKA_SSL_CA, KAFKA_SSL_CERT and KAFKA_SSL_KEY"

/** The command that makes topics; errors name it. */
export const migrateCommand = "--mode=migrate --topics"

/** What the broker will say again however often it is asked, and how to mend it. */
const refusals: Readonly<Record<string, string>> = {
  UNKNOWN_TOPIC_OR_PARTITION: `make the topic with ${migrateCommand}`,
  INVALID_TOPIC_EXCEPTION: "a topic's name has letters, digits, dots, dashes and underscores, 249 at most",
  INVALID_REPLICATION_FACTOR: "KAFKA_REPLICATION is more than there are brokers",
  INVALID_PARTITIONS: "check KAFKA_PARTITIONS",
  INVALID_SESSION_TIMEOUT: "check KAFKA_SESSION_TIMEOUT_SECONDS against the broker's limits",
  UNSUPPORTED_SASL_MECHANISM: credentials,
  ILLEGAL_SASL_STATE: credentials,
  SASL_AUTHENTICATION_FAILED: credentials,
  TOPIC_AUTHORIZATION_FAILED: credentials,
  GROUP_AUTHORIZATION_FAILED: credentials,
  CLUSTER_AUTHORIZATION_FAILED: credentials,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: credentials,
  POLICY_VIOLATION: "a policy of the cluster forbids it"
}

/** What it says of one message, and not of those beside it. */
const messageRefusals: Readonly<Record<string, string>> = {
  MESSAGE_TOO_LARGE: "the topic's max.message.bytes is the limit",
  RECORD_LIST_TOO_LARGE: "the topic's max.message.bytes is the limit",
  INVALID_TIMESTAMP: "the broker does not take the time at which it was published"
}

const mendingOf = (cause: unknown): string | undefined => {
  // By name: Node does not see the classes of errors among the exports of kafkajs.
  if (cause instanceof Error && cause.name === "KafkaJSSASLAuthenticationError") return credentials
  if (tlsFailure(codeOf(cause)) !== undefined) return certificates
  return refusals[typeOf(cause) ?? ""]
}

/** Our error for one of kafkajs's; `doing` says what was tried. Neither quotes a secret or a body. */
export const brokerError =
  (address: string, doing: string) =>
  (cause: unknown): BrokerError => {
    if (cause instanceof BrokerError) return cause
    const root = rootOf(cause)
    const text = describe(root)
    const reason = messageRefusals[typeOf(root) ?? ""]
    if (reason !== undefined) {
      const detail = `Kafka at ${address}: ${doing}: ${text}; ${reason}`
      return new BrokerError({ reason: new MessageRefused({ detail }) })
    }
    const mend = mendingOf(root)
    return mend === undefined ? away(address, `${doing}: ${text}`) : refused(address, `${doing}: ${text}; ${mend}`)
  }

/** The broker is away, and why. */
export const away = (address: string, detail: string): BrokerError =>
  new BrokerError({ reason: new BrokerAway({ detail: `Kafka at ${address}: ${detail}` }) })

/** What keeps the marks of Kafka's dead letters is in trouble: the database, which the detail names. */
export const fromStore = (error: StoreError): BrokerError =>
  new BrokerError({
    reason: error.isRetryable ? new BrokerAway({ detail: error.message }) : new BrokerRefused({ detail: error.message })
  })

/** Nobody is there to take it, yet. */
export const unroutable = (address: string, detail: string): BrokerError =>
  new BrokerError({ reason: new Unroutable({ detail: `Kafka at ${address}: ${detail}` }) })

/** The broker says no, or cannot do it. */
export const refused = (address: string, detail: string): BrokerError =>
  new BrokerError({ reason: new BrokerRefused({ detail: `Kafka at ${address}: ${detail}` }) })
