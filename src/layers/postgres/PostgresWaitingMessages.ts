/**
 * Waiting messages in PostgreSQL. Every call is one statement, and nothing of a session is relied on.
 *
 * A key waits as long as it has a row; its head is the row with the lowest id. What is appended while the last row of
 * its key goes has no head before it any more, and is found as a head that is due.
 */
import { createHash } from "node:crypto"
import { Duration, Effect, Layer } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import * as MessageJson from "../../domain/MessageJson.ts"
import type { MessageContent } from "../../domain/ports/Broker.ts"
import {
  type KeyedMessage,
  leaseSeconds,
  type WaitingHead,
  WaitingMessages
} from "../../domain/ports/WaitingMessages.ts"
import type { StoreError } from "../../domain/StoreError.ts"
import * as Statements from "./Statements.ts"
import { textArray } from "./TextArrays.ts"

interface Row {
  readonly id: string
  readonly message: string
  readonly claims: number
}

interface StoredMessage extends MessageJson.MessageJson {
  readonly key: string
  /** Base64. */
  readonly body: string
}

// Any text, however long: as JSON it has neither U+0000 nor half of a surrogate pair in it.
const hashOf = (key: string): string => createHash("sha256").update(JSON.stringify(key)).digest("hex")

const textOf = ({ key, message }: KeyedMessage): string => {
  const { buffer, byteLength, byteOffset } = message.body
  const body = Buffer.from(buffer, byteOffset, byteLength).toString("base64")
  return JSON.stringify({ ...MessageJson.encode(message), key, body } satisfies StoredMessage)
}

const toHead = ({ claims, id, message }: Row): WaitingHead => {
  const { body, key, ...properties }: StoredMessage = JSON.parse(message)
  return { id, key, attempt: claims, message: MessageJson.decode(properties, Buffer.from(body, "base64")) }
}

/** A century: PostgreSQL has no time for a delay without end, and would refuse it for ever. */
const longestSeconds = 100 * 365 * 86_400

const secondsOf = (delay: Duration.Duration): string => Math.min(Duration.toSeconds(delay), longestSeconds).toFixed(3)

interface Asking {
  readonly sql: SqlClient.SqlClient
  readonly run: <A>(statement: Effect.Effect<A, SqlError.SqlError>) => Effect.Effect<A, StoreError>
}

// Keeping

const keeping = ({ run, sql }: Asking) => {
  // Column by column: a parameter for each row would run out.
  const columns = (messages: ReadonlyArray<KeyedMessage>) =>
    [messages.map(({ key }) => hashOf(key)), textArray(messages.map(textOf))] as const

  const keysWaiting = Effect.fnUntraced(function* (group: string, keys: ReadonlyArray<string>) {
    const hashes = keys.map(hashOf)
    const rows = yield* run(sql<{ key_hash: string }>`
      SELECT key_hash FROM unnest(${textArray(hashes)}::text[]) AS asked (key_hash) WHERE EXISTS (
        SELECT FROM paystream_waiting_messages AS kept
        WHERE kept.consumer_group = ${group} AND kept.key_hash = asked.key_hash
      )`)
    const found = new Set(rows.map(({ key_hash }) => key_hash))
    return new Set(keys.filter((_, index) => found.has(hashes[index] ?? "")))
  })

  const append = Effect.fnUntraced(function* (group: string, messages: ReadonlyArray<KeyedMessage>) {
    const [hashes, texts] = columns(messages)
    const rows = yield* run(sql<{ key_hash: string }>`
      INSERT INTO paystream_waiting_messages (consumer_group, key_hash, message, due_at)
      SELECT ${group}, key_hash, message, now()
      FROM unnest(${textArray(hashes)}::text[], ${texts}::text[]) WITH ORDINALITY AS added (key_hash, message, place)
      WHERE EXISTS (
        SELECT FROM paystream_waiting_messages AS kept
        WHERE kept.consumer_group = ${group} AND kept.key_hash = added.key_hash
      ) ORDER BY place RETURNING key_hash`)
    const waiting = new Set(rows.map(({ key_hash }) => key_hash))
    return hashes.map((hash) => waiting.has(hash))
  })

  const park = (group: string, head: KeyedMessage, delay: Duration.Duration) =>
    run(sql`
      INSERT INTO paystream_waiting_messages (consumer_group, key_hash, message, due_at)
      VALUES (${group}, ${hashOf(head.key)}, ${textOf(head)}, now() + ${secondsOf(delay)}::float8 * interval '1 second')`)

  return {
    keysWaiting,
    append,
    park: (group: string, head: KeyedMessage, delay: Duration.Duration) => Effect.asVoid(park(group, head, delay)),
    count: (group: string) =>
      Effect.map(
        run(sql<{ count: string }>`
          SELECT count(*)::text AS count FROM paystream_waiting_messages WHERE consumer_group = ${group}`),
        ([row]) => Number(row?.count)
      )
  }
}

// Claiming

const lease = `${leaseSeconds} seconds`

const claiming = ({ run, sql }: Asking) => {
  const claim = Effect.fnUntraced(function* (group: string, owner: string, limit: number) {
    const rows = yield* run(sql<Row>`
      UPDATE paystream_waiting_messages
      SET claimed_by = ${owner}, claimed_until = now() + ${lease}::interval, claims = claims + 1
      WHERE id IN (
        SELECT id FROM paystream_waiting_messages AS head
        WHERE consumer_group = ${group} AND due_at <= now() AND (claimed_until IS NULL OR claimed_until < now())
          AND NOT EXISTS (
            SELECT FROM paystream_waiting_messages AS before
            WHERE before.consumer_group = head.consumer_group AND before.key_hash = head.key_hash
              AND before.id < head.id
          )
        ORDER BY due_at LIMIT ${limit}::integer FOR UPDATE SKIP LOCKED
      ) RETURNING id::text AS id, message, claims`)
    return rows.map(toHead)
  })

  // The snapshot still has the row that goes.
  const complete = Effect.fnUntraced(function* (owner: string, { id }: WaitingHead) {
    const [next] = yield* run(sql<Row>`
      WITH done AS (
        DELETE FROM paystream_waiting_messages WHERE id = ${id}::bigint AND claimed_by = ${owner}
        RETURNING id, consumer_group, key_hash
      ), next AS (
        SELECT min(row.id) AS id FROM done JOIN paystream_waiting_messages AS row
          ON row.consumer_group = done.consumer_group AND row.key_hash = done.key_hash AND row.id > done.id
      )
      UPDATE paystream_waiting_messages AS row
      SET claimed_by = ${owner}, claimed_until = now() + ${lease}::interval, claims = claims + 1
      FROM next WHERE row.id = next.id RETURNING row.id::text AS id, row.message, row.claims`)
    return next && toHead(next)
  })

  const postpone = (owner: string, { id, key }: WaitingHead, message: MessageContent, delay: Duration.Duration) =>
    run(sql`
      UPDATE paystream_waiting_messages
      SET message = ${textOf({ key, message })}, due_at = now() + ${secondsOf(delay)}::float8 * interval '1 second',
        claims = 0, claimed_by = NULL, claimed_until = NULL
      WHERE id = ${id}::bigint AND claimed_by = ${owner}`)

  return {
    claim,
    complete,
    postpone: (owner: string, head: WaitingHead, message: MessageContent, delay: Duration.Duration) =>
      Effect.asVoid(postpone(owner, head, message, delay)),
    renew: (group: string, owner: string) =>
      Effect.map(
        run(sql`UPDATE paystream_waiting_messages SET claimed_until = now() + ${lease}::interval
          WHERE consumer_group = ${group} AND claimed_by = ${owner} RETURNING 1`),
        (rows) => rows.length
      ),
    release: (group: string, owner: string) =>
      Effect.asVoid(
        run(sql`UPDATE paystream_waiting_messages SET claims = 0, claimed_by = NULL, claimed_until = NULL
          WHERE consumer_group = ${group} AND claimed_by = ${owner}`)
      )
  }
}

const make = (options: Statements.StatementOptions) =>
  Effect.map(Statements.make(options), ({ limited, prepare, run, sql }) => {
    const asking: Asking = { sql, run: (statement) => run(limited(statement)) }
    return WaitingMessages.of({ ...keeping(asking), ...claiming(asking), prepare })
  })

/** On a pool of connections; connects when first used. */
export const layer = (options: Statements.StatementOptions): Layer.Layer<WaitingMessages, never, SqlClient.SqlClient> =>
  Layer.effect(WaitingMessages, make(options))
