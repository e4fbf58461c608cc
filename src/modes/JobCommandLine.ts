/** The flags of `jobs` and `runjob`; what they do is loaded when it is asked for. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { flags, json, limit } from "./Flags.ts"

const listing = Effect.promise(() => import("./JobListing.ts"))
const changes = Effect.promise(() => import("./JobChanges.ts"))
const running = Effect.promise(() => import("./RunJob.ts"))

const name = Argument.String("name").pipe(Argument.withDescription("The job's name"))
const module = flags.jobs.pipe(Flag.withDescription("The module that exports the jobs, instead of JOBS"))

const pause = Command.make("pause", { name, jobs: module, json }, (given) =>
  Effect.flatMap(changes, (all) => all.pause({ ...given, isPaused: true }))
).pipe(Command.withDescription("Let a job rest, in all schedulers, until it is resumed"))

const resume = Command.make("resume", { name, jobs: module, json }, (given) =>
  Effect.flatMap(changes, (all) => all.pause({ ...given, isPaused: false }))
).pipe(Command.withDescription("Let a job go on; what it would have run meanwhile is not caught up with"))

const history = Command.make(
  "history",
  {
    name: Argument.optional(name),
    failed: Flag.Boolean("failed").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Only runs that failed or timed out")
    ),
    limit: limit(20),
    json
  },
  (given) => Effect.flatMap(listing, (all) => all.history(given))
).pipe(Command.withDescription("List what a job, or all of them, did: the newest first"))

const add = Command.make(
  "add",
  {
    name: Flag.String("name").pipe(Flag.withDescription("The job's name; of one that is there, all is replaced")),
    schedule: Flag.String("schedule").pipe(
      Flag.withDescription("Five or six fields, a word such as @daily, or @every 90s")
    ),
    timeZone: Flag.String("time-zone").pipe(
      Flag.withDefault("UTC"),
      Flag.withDescription("Whose clocks the fields are about; UTC unless told")
    ),
    topic: Flag.String("publish-topic").pipe(Flag.withDescription("Where its payload is published to")),
    payload: Flag.String("payload").pipe(Flag.withDefault("{}"), Flag.withDescription("JSON; {} unless told")),
    overlap: Flag.Literals("overlap", ["skip", "queue"]).pipe(
      Flag.withDefault("skip"),
      Flag.withDescription("What happens to an occurrence while the one before goes on")
    ),
    catchUp: Flag.Literals("catch-up", ["latest", "all", "none"]).pipe(
      Flag.withDefault("latest"),
      Flag.withDescription("Which occurrences run that were missed while nothing ran")
    ),
    json
  },
  (given) => Effect.flatMap(changes, (all) => all.add(given))
).pipe(Command.withDescription("Add a job that publishes to a topic, or change it: running schedulers take it up"))

const remove = Command.make("remove", { name, json }, (given) =>
  Effect.flatMap(changes, (all) => all.remove(given))
).pipe(Command.withDescription("Remove a job that was added"))

/** `jobs`, and `jobs pause | resume | history | add | remove`. */
export const jobs = Command.make("jobs", { jobs: module, json }, (given) =>
  Effect.flatMap(listing, (all) => all.list(given))
).pipe(
  Command.withDescription("List the jobs: schedule, next occurrences, last run"),
  Command.withSubcommands([pause, resume, history, add, remove])
)

/** `runjob NAME`. */
export const runJob = Command.make(
  "runjob",
  {
    name,
    jobs: module,
    at: Flag.String("at").pipe(
      Flag.optional,
      Flag.withDescription("The instant that it is run for, as 2026-11-21T02:00:00Z; now unless told")
    ),
    print: Flag.Boolean("print").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Print only what the job gave, as the job itself shows it to people")
    ),
    json
  },
  (given) => Effect.flatMap(running, (all) => all.runNow(given))
).pipe(Command.withDescription("Run a job now, and show how it goes"))
