/**
 * From the return of a commit to the mark, which follows the confirm: an upper bound of commit to confirm. Both times are
 * of the same machine's clock, at 200 events a second, each in a transaction of its own.
 */
import { randomUUID } from "node:crypto"
import { Effect } from "effect"
import { realSleep } from "../../test/support/servers/eventually.ts"
import { attempt } from "../BenchmarkError.ts"
import * as Events from "./Events.ts"
import type { Place, Testbed } from "./Testbed.ts"

const perSecond = 200
/** The first ones find a relay that has not done anything yet. */
const warmUp = 100

const now = (): number => performance.timeOrigin + performance.now()

/** Milliseconds, one for each event. */
export const latencies = Effect.fnUntraced(function* (testbed: Testbed, { topic }: Place, samples: number) {
  const committedAt = new Map<string, number>()
  const started = now()
  for (let index = 0; index < samples + warmUp; index++) {
    const id = randomUUID()
    yield* attempt("append an event", () =>
      testbed.postgres.query({
        name: "append",
        text: "INSERT INTO outbox_events (id, topic, key, payload) VALUES ($1, $2, $3, $4)",
        values: [id, topic, `key-${index % 1000}`, { n: index, note: "-".repeat(150) }]
      })
    )
    if (index >= warmUp) committedAt.set(id, now())
    yield* realSleep(Math.max(0, started + ((index + 1) * 1000) / perSecond - now()))
  }
  yield* Events.published(testbed, samples + warmUp, 20)
  const { rows } = yield* attempt("read the times", () =>
    testbed.postgres.query<{ id: string; millis: number }>(
      "SELECT id, (extract(epoch FROM published_at) * 1000)::float8 AS millis FROM outbox_events"
    )
  )
  return rows.flatMap(({ id, millis }) => {
    const committed = committedAt.get(id)
    return committed === undefined ? [] : [millis - committed]
  })
})
