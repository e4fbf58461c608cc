/** Dead letters that nobody has looked after for long. */
import { Duration, Effect } from "effect"
import type { BrokerError } from "../../domain/ports/Broker.ts"
import { type JobQueue, schema } from "./JobQueue.ts"

// Queue by queue, oldest first, by the index from which the library gives rows out. What somebody has in hand, for a
// replay or a look, is left to them.
const removal = `
  WITH old AS (
    SELECT job.name, job.id FROM ${schema}.queue CROSS JOIN LATERAL (
      SELECT name, id FROM ${schema}.job
      WHERE name = queue.name AND state < 'active' AND NOT blocked AND priority = 0
        AND created_on < now() - $1::float8 * interval '1 millisecond'
      ORDER BY created_on, id LIMIT $2
    ) AS job
    WHERE queue.name LIKE '%.dlq' LIMIT $2
  ), removed AS (
    DELETE FROM ${schema}.job USING old WHERE job.name = old.name AND job.id = old.id AND state < 'active' RETURNING 1
  )
  SELECT count(*)::int AS removed FROM removed`

/** Removes at most `limit` that are older than `age`. */
export const forget = (jobs: JobQueue, age: Duration.Duration, limit: number): Effect.Effect<number, BrokerError> =>
  Effect.map(
    jobs.use((boss) => boss.getDb().executeSql(removal, [Duration.toMillis(age), limit])),
    ({ rows }) => Number(rows[0]?.removed ?? 0)
  )
