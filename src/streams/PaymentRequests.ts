/**
 * Payments as clients ask for them: each is stored once, however often it is asked for.
 *
 * ## Guarantees
 * - A payment's id follows from who asks and under which key: while the payment is kept, nobody makes a second one of
 *   the two, whatever became of the first attempt and of the keys' own store.
 */
import { Effect } from "effect"
import { isAskedForBy, type PaymentRequest, requestedBy } from "../domain/PaymentRequest.ts"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { sha256Hex } from "./Digests.ts"
import * as PaymentChanges from "./PaymentChanges.ts"
import type { PaymentOutlet } from "./PaymentOutlet.ts"

/** Who asks for a payment, under which key, and for which. */
export interface Asked {
  readonly client: string
  readonly key: string
  readonly request: PaymentRequest
}

/** What became of it. */
export type Taken =
  | { readonly _tag: "Taken"; readonly id: string; readonly isNew: boolean }
  /** The key belongs to another payment. */
  | { readonly _tag: "OtherRequest" }

const encoder = new TextEncoder()

/** A uuid whose bits are ours to choose (version 8). */
const uuidOf = (hex: string): string => {
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16)
  const groups = [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20)]
  return [...groups, hex.slice(20, 32)].join("-")
}

/** The id of the payment that a client asks for under a key. */
export const idOf = (client: string, key: string): Effect.Effect<string> =>
  Effect.map(sha256Hex(encoder.encode(JSON.stringify(["payment", client, key]))), uuidOf)

/** Stores the payment unless it is there; with the command that processes it, where `sendsCommand` says so. */
export const take = Effect.fn("PaymentRequests.take")(function* (
  asked: Asked,
  { sendsCommand }: { readonly sendsCommand: boolean }
): Effect.fn.Return<Taken, StoreError, PaymentIntents | PaymentOutlet> {
  const { client, key, request } = asked
  const id = yield* idOf(client, key)
  const payment = { id, idempotencyKey: key, event: requestedBy(id, request) }
  const isNew = yield* PaymentChanges.request(payment, sendsCommand ? { commandId: `process/${id}` } : {})
  return isNew ? { _tag: "Taken", id, isNew } : yield* find(asked)
})

/** The payment that was taken, if it was by this request; stores none. */
export const find = Effect.fn("PaymentRequests.find")(function* ({
  client,
  key,
  request
}: Asked): Effect.fn.Return<Taken, StoreError, PaymentIntents> {
  const id = yield* idOf(client, key)
  // One that was there and is not found was erased: its key stays used.
  const found = yield* PaymentIntents.use((intents) => intents.find(id))
  const isSame = found !== undefined && isAskedForBy(request, id, found.state)
  return isSame ? { _tag: "Taken", id, isNew: false } : { _tag: "OtherRequest" }
})
