/**
 * The half of a bare relay that has to do with the table: read in order of sequence, by an index of its own, from a
 * remembered position, which loses events of slow transactions. While a batch is published, the next one is read and
 * the one before it marked.
 */
import { Client } from "pg"

const { DATABASE_URL = "", MAX_MESSAGES = "0" } = process.env

const batchSize = 1000

export interface Row {
  readonly id: string
  readonly sequence: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  readonly headers: Readonly<Record<string, unknown>>
}

const select = {
  name: "select",
  text: `SELECT id, sequence, topic, key, payload::text AS payload, headers FROM outbox_events
    WHERE published_at IS NULL AND sequence > $1 ORDER BY sequence LIMIT ${batchSize}`
}
// Made for the length of a relay: no other contestant pays for it.
const index = {
  make: "CREATE INDEX idx_outbox_events_bare ON outbox_events (sequence) WHERE published_at IS NULL",
  drop: "DROP INDEX idx_outbox_events_bare"
}
const update = {
  name: "update",
  text: "UPDATE outbox_events SET published_at = clock_timestamp() WHERE id = ANY($1::uuid[])"
}

const connected = async (): Promise<Client> => {
  const client = new Client({ connectionString: DATABASE_URL })
  await client.connect()
  return client
}

/** Relays as many events as the environment says; `publish` returns when the broker has confirmed them. */
export const relay = async (publish: (rows: ReadonlyArray<Row>) => Promise<void>): Promise<void> => {
  const reader = await connected()
  const marker = await connected()
  await reader.query(index.make)
  let last = "0"
  const read = async (): Promise<ReadonlyArray<Row>> => {
    const { rows } = await reader.query<Row>({ ...select, values: [last] })
    last = rows.at(-1)?.sequence ?? last
    return rows
  }

  let left = Number(MAX_MESSAGES)
  let marked: Promise<unknown> = Promise.resolve()
  let next = read()
  while (left > 0) {
    const rows = await next
    next = read()
    await publish(rows)
    await marked
    marked = marker.query({ ...update, values: [rows.map(({ id }) => id)] })
    left -= rows.length
  }
  await marked
  await next
  await reader.query(index.drop)
  await Promise.all([reader.end(), marker.end()])
}
