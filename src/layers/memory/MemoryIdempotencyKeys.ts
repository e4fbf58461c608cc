/** Idempotency keys in memory, for tests of what is built on the port. */
import { Clock, Duration, Effect, Layer } from "effect"
import {
  type Claim,
  type ClaimRequest,
  type Held,
  type IdempotencyKey,
  IdempotencyKeys
} from "../../domain/ports/IdempotencyKeys.ts"

interface Row {
  readonly fingerprint: string
  token: bigint
  answer: string | undefined
  leaseUntil: number
  readonly expiresAt: number
}

const nameOf = ({ key, scope }: IdempotencyKey): string => JSON.stringify([scope, key])

const make = (): IdempotencyKeys["Service"] => {
  const rows = new Map<string, Row>()

  const claimed = (request: ClaimRequest, token: bigint, now: number): Claim => {
    const { fingerprint, key, lease, retention, scope } = request
    const leaseUntil = now + Duration.toMillis(lease)
    const expiresAt = now + Duration.toMillis(retention)
    rows.set(nameOf(request), { fingerprint, token, answer: undefined, leaseUntil, expiresAt })
    return { _tag: "Claimed", held: { scope, key, token } }
  }
  const claim = (request: ClaimRequest, now: number): Claim => {
    const row = rows.get(nameOf(request))
    if (row === undefined || row.expiresAt <= now) return claimed(request, (row?.token ?? 0n) + 1n, now)
    if (row.fingerprint !== request.fingerprint) return { _tag: "OtherRequest" }
    if (row.answer !== undefined) return { _tag: "Completed", answer: row.answer }
    if (row.leaseUntil <= now) return claimed(request, row.token + 1n, now)
    return { _tag: "UnderWay", leaseLeft: Duration.millis(row.leaseUntil - now) }
  }
  const heldRow = (held: Held): Row | undefined => {
    const row = rows.get(nameOf(held))
    return row?.token === held.token && row.answer === undefined ? row : undefined
  }
  const atNow = <A>(f: (now: number) => A) => Effect.map(Clock.currentTimeMillis, f)

  return {
    claim: (request) => atNow((now) => claim(request, now)),
    complete: (held, answer) =>
      Effect.sync(() => {
        const row = heldRow(held)
        if (row !== undefined) row.answer = answer
        return row !== undefined
      }),
    release: (held) =>
      atNow((now) => {
        const row = heldRow(held)
        if (row !== undefined) row.leaseUntil = now
      }),
    removeExpired: (limit) =>
      atNow((now) => {
        const expired = [...rows].filter(([, row]) => row.expiresAt <= now).slice(0, limit)
        for (const [name] of expired) rows.delete(name)
        return expired.length
      })
  }
}

/** No keys at first, of its own for each use of the layer. */
export const layer: Layer.Layer<IdempotencyKeys> = Layer.sync(IdempotencyKeys, make)
