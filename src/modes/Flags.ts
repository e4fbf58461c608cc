/** What the command line may say, beside the subcommands that have their own; reading it loads no mode. */
import { type Command, Flag } from "effect/cli"

/** Of a flag that counts something. */
export const fromOne = Flag.filter(
  (given: number) => given >= 1,
  () => "a whole number from 1"
)

/** Of a command whose answer a machine may read. */
export const json = Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("Print for machines"))

/** Of a command that lists. */
export const limit = (unset: number) =>
  Flag.Int("limit").pipe(
    fromOne,
    Flag.withDefault(unset),
    Flag.withDescription(`At most so many; ${unset} unless told`)
  )

const count = Flag.Int("count").pipe(fromOne)

const number = (name: string, accepts: (given: number) => boolean, takes: string, unset: number) =>
  Flag.Finite(name).pipe(
    Flag.filter(accepts, () => takes),
    Flag.withDefault(unset)
  )

const simulateFlags = {
  rate: number("rate", (given) => given > 0 && given <= 100_000, "a number above 0, up to 100000", 10).pipe(
    Flag.withDescription("simulate: flows begun per second; 10 unless told")
  ),
  target: Flag.String("target").pipe(
    Flag.filter(
      (given) => URL.canParse(given) && /^https?:/.test(given),
      () => "an http:// or https:// address"
    ),
    Flag.withDefault("http://localhost:5000"),
    Flag.withDescription("simulate: the address of the API; http://localhost:5000 unless told")
  ),
  invalid: number("invalid", (given) => given >= 0 && given <= 1, "a share from 0 to 1", 0).pipe(
    Flag.withDescription("simulate: the share of requests that are invalid; 0 unless told")
  ),
  timeout: number(
    "timeout",
    (given) => given > 0 && given <= 86_400,
    "a number of seconds above 0, up to 86400",
    60
  ).pipe(
    Flag.withDescription(
      "simulate: the longest wait in seconds, for an answer and for all flows to end; 60 unless told"
    )
  )
}

/** The flags of all modes: which of them takes one, its description says. */
export const flags = {
  mode: Flag.String("mode").pipe(
    Flag.optional,
    Flag.withDescription("The job to do; MODE in the environment says it too")
  ),
  count: count.pipe(
    Flag.optional,
    Flag.withDescription("publish, simulate, demo: how many payments; 1, 100, and without end unless told")
  ),
  queue: Flag.String("queue").pipe(Flag.optional, Flag.withDescription("publish: the queue, instead of QUEUE_NAME")),
  host: Flag.String("host").pipe(Flag.optional, Flag.withDescription("publish: the broker, instead of RABBITMQ_HOST")),
  topic: Flag.String("topic").pipe(Flag.optional, Flag.withDescription("publish: a topic for --value, not samples")),
  values: Flag.String("value").pipe(Flag.atLeast(0), Flag.withDescription("publish: a JSON value; may be repeated")),
  key: Flag.String("key").pipe(Flag.optional, Flag.withDescription("publish: what keeps the values in order")),
  status: Flag.Boolean("status").pipe(Flag.withDefault(false), Flag.withDescription("migrate: only say what is there")),
  topics: Flag.Boolean("topics").pipe(
    Flag.withDefault(false),
    Flag.withDescription("migrate: only the topics of the workers")
  ),
  database: Flag.Boolean("database").pipe(Flag.withDefault(false), Flag.withDescription("migrate: only the tables")),
  worker: Flag.String("worker").pipe(
    Flag.atLeast(0),
    Flag.withDescription("consumers, migrate: only this worker; may be repeated")
  ),
  workers: Flag.String("workers").pipe(
    Flag.optional,
    Flag.withDescription("consumers, migrate: the module that exports the workers, instead of WORKERS")
  ),
  job: Flag.String("job").pipe(Flag.atLeast(0), Flag.withDescription("scheduler: only this job; may be repeated")),
  jobs: Flag.String("jobs").pipe(
    Flag.optional,
    Flag.withDescription("scheduler: the module that exports the jobs, instead of JOBS")
  ),
  ...simulateFlags,
  json: json.pipe(Flag.withDescription("migrate, publish, simulate: print for machines"))
}

/** What was given. */
export type Flags = Command.Command.Config.Infer<typeof flags>
