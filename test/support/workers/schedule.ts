/** Jobs that a test runs as processes: each notes in `JOURNAL` what it has done. */
import { appendFileSync } from "node:fs"
import { Effect } from "effect"
import { Job } from "paystream"

const journal = process.env.JOURNAL ?? "journal"

/** One line for each attempt that came to its end. */
const note = Effect.flatMap(Job.CurrentRun, (run) =>
  Effect.sync(() => appendFileSync(journal, `${run?.job} ${run?.scheduledFor} ${run?.attempt} ${run?.fencingToken}\n`))
)

/** Shorter than a second, and different for each job. */
const tick = (name: string, schedule: string, index: number) =>
  Job.make(
    `${name}-${index}`,
    { schedule, overlap: "queue", catchUp: "all", timeout: "20 seconds" },
    Effect.andThen(Effect.sleep(`${30 + index * 20} millis`), note)
  )

const count = Number(process.env.TICKS ?? 0)

export const ticks = Array.from({ length: count }, (_, index) => tick("tick", "* * * * * *", index))

/** Far enough apart to be held before their instants. */
export const slowTicks = Array.from({ length: count }, (_, index) => tick("slow", "*/4 * * * * *", index))

export const nightly = Job.make(
  "nightly",
  { schedule: "0 2 * * *", timeZone: "America/Sao_Paulo" },
  Effect.gen(function* () {
    yield* Effect.logInfo("looking for old rows")
    yield* note
    return { removed: 3 }
  })
)

export const failing = Job.make("failing", { schedule: "@yearly" }, Effect.die(new TypeError("no such column")))

/** Ends only when it is interrupted. */
export const endless = Job.make(
  "endless",
  { schedule: "@yearly" },
  Effect.andThen(Effect.logInfo("going on for ever"), Effect.never)
)
