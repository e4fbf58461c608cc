/** Hashes of what is too long to be an identity by itself. */
import { Effect } from "effect"
import { WebCrypto } from "effect/crypto"
import { Hex } from "effect/encoding"
import { isShort, stemOf } from "../domain/WorkerIds.ts"

const encoder = new TextEncoder()

/** SHA-256 in hexadecimal digits. */
export const sha256Hex = (data: Uint8Array): Effect.Effect<string> =>
  Effect.flatMap(WebCrypto.WebCrypto, (crypto) =>
    Effect.promise(async () => Hex.encode(new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(data)))))
  )

/** The id if others can be made of it, or else what stands for it. */
export const stem = (id: string): Effect.Effect<string> =>
  isShort(id) ? Effect.succeed(id) : Effect.map(sha256Hex(encoder.encode(id)), (hash) => stemOf(id, hash))
