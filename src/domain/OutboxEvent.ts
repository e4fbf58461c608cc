/** An event on its way out: what a program appends, and what a relay takes. */

/** What is to be published once its transaction has committed. */
export interface NewEvent {
  /** 1 to 255 bytes, as AMQP takes them. */
  readonly topic: string
  /** Events of one key keep their order; without one there is none. At most 1,024 bytes. */
  readonly key?: string | undefined
  /** Any JSON value. */
  readonly payload: unknown
  readonly headers?: Readonly<Record<string, unknown>> | undefined
}

/** An event that is committed and not yet published. */
export interface PendingEvent {
  /** The id of the message too. */
  readonly id: string
  /** The part of all keys that it belongs to: one relay at a time works on a slot. */
  readonly slot: number
  readonly topic: string
  readonly key: string | undefined
  /** JSON. */
  readonly payload: string
  readonly headers: Readonly<Record<string, unknown>>
  /** Failed attempts so far. */
  readonly attempts: number
  readonly createdAtMillis: number
  /** Since it was appended, by the database's clock, when it was taken. */
  readonly ageMillis: number
}

/** Keys are spread over so many slots: more than any team runs relays, few enough to be looked at one by one. */
export const slotCount = 64

/** What keeps its order: the key, or where there is none the event alone. */
export const laneOf = ({ id, key }: { readonly id: string; readonly key: string | undefined }): string => key ?? id

/**
 * The header of an event that is for another exchange than that of the topics, where a broker has exchanges: it names
 * it, and is not part of the message.
 */
export const exchangeHeader = "x-paystream-exchange"

/**
 * Whether a topic names a command, which is for one queue, that of the very name: one of its words but the last is
 * `commands`, as in `payment.commands.process`.
 */
export const isCommand = (topic: string): boolean => /(^|\.)commands\../.test(topic)
