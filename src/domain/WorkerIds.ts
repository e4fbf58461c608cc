/**
 * Ids that follow from others: of outputs, dead letters, and of inputs as `dedupe` remembers them. The same input gives
 * the same ids again, so that a repeat can be told.
 */
import type { Delivery } from "./ports/Broker.ts"
import { ReplayHeader } from "./Replay.ts"

/** As many bytes as AMQP has for an id. */
export const longestId = 255

/** What follows an id that was cut has room beside it. */
const longestStem = 130

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export const bytesIn = (text: string): number => encoder.encode(text).length

/** The first bytes of a text, without half a character at the end. */
const cut = (text: string, bytes: number): string =>
  decoder.decode(encoder.encode(text).slice(0, bytes)).replace(/\uFFFD+$/, "")

/** Whether others can be made of it as it is. */
export const isShort = (id: string): boolean => id.length * 3 <= longestStem || bytesIn(id) <= longestStem

/** What stands for an id that is too long to have something made of it: its beginning, and a hash of all of it. */
export const stemOf = (id: string, hash: string): string => `${cut(id, longestStem - hash.length - 1)}~${hash}`

/** How often the message was put off (retry or snooze): both copies of one parking carry the same number. */
export const parkedHeader = "x-paystream-parked"

const numberIn = (value: unknown): number => {
  const number = Number(value)
  return Number.isSafeInteger(number) && number > 0 ? number : 0
}

/** How often this message was put off. */
export const parkingsOf = ({ headers }: Pick<Delivery, "headers">): number => numberIn(headers[parkedHeader])

const replayOf = ({ headers }: Pick<Delivery, "headers">): string | undefined => {
  const replay = headers[ReplayHeader.replay]
  return typeof replay === "string" ? replay : undefined
}

/** The identities of an input; escaped as JSON, so that any id is a text that a database takes. */
export interface InputIdentity {
  /** Of the input as a whole: it is finished, whichever of its copies was. */
  readonly input: string
  /** Of this parking of it: handled, whatever came of it. */
  readonly parking: string
}

/** Of an input with the id `stem`. */
export const identityOf = (stem: string, delivery: Pick<Delivery, "headers">): InputIdentity => {
  const replay = replayOf(delivery)
  const input = replay === undefined ? [stem] : [stem, replay]
  return { input: JSON.stringify(input), parking: JSON.stringify([...input, parkingsOf(delivery)]) }
}

/** The id of what a worker publishes, by its position among what it publishes for this input. */
export const outputId = (stem: string, worker: string, position: number): string => `${stem}/${worker}.${position}`

/** The id of a group's dead letter: two groups that set the same input aside do not give the same letter. */
export const letterId = (stem: string, group: string, delivery: Pick<Delivery, "headers">): string => {
  const replay = replayOf(delivery)
  return cut(`${stem}/${group}.dlq${replay === undefined ? "" : `.${replay}`}`, longestId)
}
