/** The jobs of the measurement: `JOB_COUNT` of them, each due every minute, which tell how late they began. */
import { Clock, Effect } from "effect"
import { Job } from "paystream"

const count = Number(process.env.JOB_COUNT ?? 10_000)

const late = Effect.flatMap(Job.CurrentRun, (run) =>
  Effect.map(Clock.currentTimeMillis, (now) => now - (run?.scheduledFor ?? now))
)

export const jobs = Array.from({ length: count }, (_, index) =>
  Job.make(`minutely-${index}`, { schedule: "* * * * *" }, late)
)
