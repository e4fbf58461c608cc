/**
 * All that is changed inside of kafkajs, and all that is known of its inside.
 *
 * - How a request that publishes is written, and how the answer to a fetch is read: the same bytes and the same values,
 *   which were a third of what a message cost.
 * - How it groups messages by partition: in one go, where it copies all of a partition for each that it adds.
 * - A timer of minus fifty years, which it asks for whenever it has nothing to send, is not asked for: both runtimes say
 *   so on stderr.
 */
import { createRequire } from "node:module"
import type { Message } from "kafkajs"
import * as FetchResponse from "./FetchResponse.ts"
import * as ProduceRequest from "./ProduceRequest.ts"

/** The version whose inside this is. */
export const knownVersion = "2.2.4"

const require = createRequire(import.meta.url)

/** A part of it. Throws where another version is installed: what is changed in one may break the next. */
const part = (path: string) => {
  const { version } = require("kafkajs/package.json")
  if (version === knownVersion) return require(`kafkajs/src/${path}`)
  throw new Error(`kafkajs ${version} is installed, and Paystream works with ${knownVersion} alone: install that one`)
}

let [isChanged, isSilent] = [false, false]

/** Called before the first client is made. */
export const change = (): void => {
  silenceTimer()
  if (isChanged) return
  writeProduce(part("protocol/requests/produce"), part("protocol/recordBatch/crc32C"))
  readFetch(part("protocol/requests/fetch/v11/response"))
  isChanged = true
}

// Requests and answers

interface ProduceRequests {
  protocol: (asked: { readonly version: number }) => (produce: ProduceRequest.Produce) => {
    readonly request: { readonly encode: () => Promise<object> }
  }
}

/** The first version that publishes batches of records. */
const firstWithBatches = 3

const writeProduce = (requests: ProduceRequests, checksum: (bytes: Buffer) => number): void => {
  const protocol = requests.protocol
  requests.protocol = (asked) => {
    const make = protocol(asked)
    return (produce) => {
      const made = make(produce)
      if (asked.version < firstWithBatches || !ProduceRequest.isPlain(produce)) return made
      const encode = async () => {
        const buffer = ProduceRequest.encode(produce, checksum)
        // What kafkajs reads of an encoder.
        return { buffer, buf: buffer }
      }
      return { ...made, request: { ...made.request, encode } }
    }
  }
}

interface ResponseReader {
  decode: (bytes: Buffer) => Promise<unknown>
}

const readFetch = (response: ResponseReader): void => {
  const decode = response.decode
  response.decode = async (bytes) => FetchResponse.decode(bytes) ?? decode(bytes)
}

// Groups

type Groups = Record<string, Array<Message>>

/**
 * The same messages for `sendBatch`, which groups them by reducing: here each is grouped alone, and the groups are put
 * together.
 */
export const groupedInOneGo = (messages: Array<Message>): Array<Message> => {
  const reduce = (group: (groups: Groups, message: Message) => Groups, groups: Groups): Groups => {
    for (const message of messages) {
      const alone = group({}, message)
      for (const partition in alone) {
        groups[partition] ??= []
        groups[partition].push(message)
      }
    }
    return groups
  }
  return Object.defineProperty(messages, "reduce", { value: reduce })
}

// Timer

interface RequestQueue {
  readonly pending: ReadonlyArray<unknown>
  /** -1: the broker has not asked us to slow down. */
  readonly throttledUntil: number
  scheduleCheckPendingRequests: () => void
}

/** Of all this the timer alone: for witnesses, who write and read as kafkajs does. */
export const silenceTimer = (): void => {
  if (isSilent) return
  const { prototype }: { readonly prototype: RequestQueue } = part("network/requestQueue")
  const schedule = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0 || this.throttledUntil > 0) schedule.call(this)
  }
  isSilent = true
}
