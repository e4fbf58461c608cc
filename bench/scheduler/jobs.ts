/**
 * The jobs of the measurement: `JOB_COUNT` of them, each due every minute, which tell how late they began. All at the same
 * instant, or with `JOB_SPREAD` over the seconds of the minute.
 */
import { Clock, Effect } from "effect"
import { Job } from "paystream"

const count = Number(process.env.JOB_COUNT ?? 10_000)
const isSpread = process.env.JOB_SPREAD === "true"

const late = Effect.flatMap(Job.CurrentRun, (run) =>
  Effect.map(Clock.currentTimeMillis, (now) => now - (run?.scheduledFor ?? now))
)

export const jobs = Array.from({ length: count }, (_, index) =>
  Job.make(`minutely-${index}`, { schedule: `${isSpread ? index % 60 : 0} * * * * *` }, late)
)
