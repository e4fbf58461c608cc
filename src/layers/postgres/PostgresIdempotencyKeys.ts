/** Idempotency keys in PostgreSQL. All times are the database's: the clocks of those who ask do not matter. */
import { Duration, Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
import { type Claim, type ClaimRequest, IdempotencyKeys } from "../../domain/ports/IdempotencyKeys.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import type * as Statements from "./Statements.ts"
import * as Tables from "./Tables.ts"

interface Found {
  readonly fingerprint: string
  readonly answer: string | null
  readonly lease_left: string
}

const outcomeOf = (row: Found, { fingerprint }: ClaimRequest): Claim => {
  if (row.fingerprint !== fingerprint) return { _tag: "OtherRequest" }
  if (row.answer !== null) return { _tag: "Completed", answer: row.answer }
  return { _tag: "UnderWay", leaseLeft: Duration.millis(Math.max(0, Number(row.lease_left))) }
}

const make = Effect.fnUntraced(function* (options: Statements.StatementOptions) {
  const { run, sql } = yield* Tables.make(options)

  const claimed = ({ fingerprint, key, lease, retention, scope }: ClaimRequest) =>
    run(sql<{ token: bigint }>`
      INSERT INTO idempotency_keys AS mine (scope, key, fingerprint, token, lease_until, expires_at)
      VALUES (${scope}, ${key}, ${fingerprint}, 1,
        now() + ${Duration.toMillis(lease)}::float8 * interval '1 millisecond',
        now() + ${Duration.toMillis(retention)}::float8 * interval '1 millisecond')
      ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, token = mine.token + 1,
        lease_until = excluded.lease_until, expires_at = excluded.expires_at, answer = NULL
      WHERE mine.expires_at <= now()
        OR (mine.answer IS NULL AND mine.lease_until <= now() AND mine.fingerprint = excluded.fingerprint)
      RETURNING token`)
  const found = ({ key, scope }: ClaimRequest) =>
    run(sql<Found>`
      SELECT fingerprint, answer, (extract(epoch FROM lease_until - now()) * 1000)::text AS lease_left
      FROM idempotency_keys WHERE scope = ${scope} AND key = ${key}`)

  const claim = Effect.fnUntraced(function* (request: ClaimRequest): Effect.fn.Return<Claim, StoreError> {
    while (true) {
      const [own] = yield* claimed(request)
      const { key, scope } = request
      if (own !== undefined) return { _tag: "Claimed", held: { scope, key, token: own.token } }
      const [row] = yield* found(request)
      // One that is gone by now has expired this very moment.
      if (row !== undefined) return outcomeOf(row, request)
    }
  })

  return IdempotencyKeys.of({
    claim,
    complete: ({ key, scope, token }, answer) =>
      Effect.map(
        run(sql`
          UPDATE idempotency_keys SET answer = ${answer}
          WHERE scope = ${scope} AND key = ${key} AND token = ${token} AND answer IS NULL RETURNING token`),
        (rows) => rows.length > 0
      ),
    release: ({ key, scope, token }) =>
      Effect.asVoid(
        run(sql`
          UPDATE idempotency_keys SET lease_until = now()
          WHERE scope = ${scope} AND key = ${key} AND token = ${token} AND answer IS NULL`)
      ),
    removeExpired: (limit) =>
      Effect.map(
        run(sql`
          DELETE FROM idempotency_keys WHERE (scope, key) IN (
            SELECT scope, key FROM idempotency_keys WHERE expires_at <= now()
            ORDER BY expires_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
          ) RETURNING token`),
        (rows) => rows.length
      )
  })
})

/** The keys on a pool of connections; connects, and makes its table, when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<IdempotencyKeys, never, SqlClient.SqlClient> =>
  Layer.effect(IdempotencyKeys, make(options))
