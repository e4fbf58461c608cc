/** The events of one measurement: committed, counted as they are published, and checked where they have gone. */
import { Effect } from "effect"
import { eventually } from "../../test/support/servers/eventually.ts"
import { attempt, BenchmarkError, check } from "../BenchmarkError.ts"
import type { Place, Testbed } from "./Testbed.ts"

/** An empty table, and an empty place for its events. */
export const fresh = ({ fresh, postgres }: Testbed) =>
  Effect.andThen(
    attempt("empty the table", () =>
      postgres.query("TRUNCATE outbox_events, outbox_relays; UPDATE outbox_slots SET relay = NULL")
    ),
    fresh
  )

/** Commits so many events over so many keys, each with a body of about 200 bytes; vacuumed, as a table in use is. */
export const commit = ({ postgres }: Testbed, { topic }: Place, count: number, keys: number) =>
  attempt(`append ${count} events`, async () => {
    await postgres.query(
      `INSERT INTO outbox_events (topic, key, payload)
       SELECT $3, 'key-' || (n % $2), jsonb_build_object('n', n, 'amount', '149.90', 'note', repeat('-', 150))
       FROM generate_series(1, $1::int) AS n`,
      [count, keys, topic]
    )
    await postgres.query("VACUUM ANALYZE outbox_events")
    await postgres.query("CHECKPOINT")
  })

/** Waits until so many are published. */
export const published = ({ postgres }: Testbed, count: number, seconds: number) =>
  eventually(
    Effect.gen(function* () {
      const { rows } = yield* attempt("count", () =>
        postgres.query("SELECT count(*)::int AS count FROM outbox_events WHERE published_at IS NOT NULL")
      )
      if (rows[0].count < count) return yield* new BenchmarkError({ message: `${rows[0].count} of ${count} published` })
    }),
    { deadline: `${seconds} seconds`, every: "200 millis" }
  )

/**
 * Events per second by the database's clock: from the first mark to the last of the first `count`, those of the first
 * mark not counted, since nobody knows when their publishing began.
 */
export const rate = ({ postgres }: Testbed, count: number) =>
  attempt("read the rate", async () => {
    const { rows } = await postgres.query(
      `SELECT count(*) FILTER (WHERE published_at > first)::float8
         / nullif(extract(epoch FROM max(published_at) - min(first)), 0)::float8 AS rate
       FROM (
         SELECT published_at, min(published_at) OVER () + interval '5 milliseconds' AS first FROM outbox_events
         WHERE published_at IS NOT NULL ORDER BY published_at LIMIT $1
       ) AS event`,
      [count]
    )
    return Number(rows[0].rate)
  })

/** Fails unless every event has come once, in order per key. */
export const checkExact = Effect.fnUntraced(function* ({ takeAll }: Place, count: number) {
  const found = yield* takeAll(count)
  const last = new Map<string, number>()
  for (const { key, n } of found) {
    yield* check(n > (last.get(key) ?? 0), `event ${n} of ${key} came after ${last.get(key)}`)
    last.set(key, n)
  }
  yield* check(found.length === count, `${count} events were committed, and ${found.length} have come`)
})
