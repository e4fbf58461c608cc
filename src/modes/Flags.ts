/** What the command line may say, beside the subcommands that have their own; reading it loads no mode. */
import { Option } from "effect"
import { type Command, Flag } from "effect/cli"

/** As `--mode` names them. */
export type ModeName =
  | "worker"
  | "migrate"
  | "publish"
  | "consumers"
  | "api"
  | "simulate"
  | "outbox"
  | "commands"
  | "scheduler"
  | "all"
  | "operator"
  | "demo"

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

const number = (name: string, accepts: (given: number) => boolean, takes: string) =>
  Flag.Finite(name).pipe(
    Flag.filter(accepts, () => takes),
    Flag.optional
  )

const address = Flag.String("target").pipe(
  Flag.filter(
    (given) => URL.canParse(given) && /^https?:/.test(given),
    () => "an http:// or https:// address"
  ),
  Flag.optional
)

/** The modes that each flag belongs to; the others refuse it. */
const modesOf = {
  count: ["publish", "simulate", "demo"],
  queue: ["publish"],
  host: ["publish"],
  topic: ["publish"],
  values: ["publish"],
  key: ["publish"],
  status: ["migrate"],
  topics: ["migrate"],
  database: ["migrate"],
  worker: ["consumers", "all", "migrate"],
  workers: ["consumers", "all", "migrate"],
  job: ["scheduler"],
  jobs: ["scheduler"],
  rate: ["simulate"],
  target: ["simulate"],
  invalid: ["simulate"],
  timeout: ["simulate"],
  json: ["migrate", "publish", "simulate"]
} as const satisfies Readonly<Record<string, ReadonlyArray<ModeName>>>

type Name = keyof typeof modesOf

const of = (name: Name, what: string): string => `${modesOf[name].join(", ")}: ${what}`
const flag = (name: Name & string, what: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(of(name, what)))
const text = (name: Name & string, what: string) =>
  Flag.String(name).pipe(Flag.optional, Flag.withDescription(of(name, what)))
const several = (name: Name & string, what: string, flagName: string = name) =>
  Flag.String(flagName).pipe(Flag.atLeast(0), Flag.withDescription(of(name, `${what}; may be repeated`)))

/** The flags of all modes. */
export const flags = {
  mode: Flag.String("mode").pipe(
    Flag.optional,
    Flag.withDescription("The job to do; MODE in the environment says it too")
  ),
  count: Flag.Int("count").pipe(
    fromOne,
    Flag.optional,
    Flag.withDescription(of("count", "how many payments; 1, 100, and without end unless told"))
  ),
  queue: text("queue", "the queue, instead of QUEUE_NAME"),
  host: text("host", "the broker, instead of RABBITMQ_HOST"),
  topic: text("topic", "a topic for --value, not samples"),
  values: several("values", "a JSON value", "value"),
  key: text("key", "what keeps the values in order"),
  status: flag("status", "only say what is there"),
  topics: flag("topics", "only the topics of the workers"),
  database: flag("database", "only the tables"),
  worker: several("worker", "only this worker"),
  workers: text("workers", "the module that exports the workers, instead of WORKERS"),
  job: several("job", "only this job"),
  jobs: text("jobs", "the module that exports the jobs, instead of JOBS"),
  rate: number("rate", (given) => given > 0 && given <= 100_000, "a number above 0, up to 100000").pipe(
    Flag.withDescription(of("rate", "flows begun per second; 10 unless told"))
  ),
  target: address.pipe(Flag.withDescription(of("target", "the address of the API; http://localhost:5000 unless told"))),
  invalid: number("invalid", (given) => given >= 0 && given <= 1, "a share from 0 to 1").pipe(
    Flag.withDescription(of("invalid", "the share of requests that are invalid; 0 unless told"))
  ),
  timeout: number("timeout", (given) => given > 0 && given <= 86_400, "a number of seconds above 0, up to 86400").pipe(
    Flag.withDescription(
      of("timeout", "the longest wait in seconds, for an answer and for all flows to end; 60 unless told")
    )
  ),
  json: json.pipe(Flag.withDescription(of("json", "print for machines")))
}

/** What was given. */
export type Flags = Command.Command.Config.Infer<typeof flags>

const isGiven = (value: Flags[Name]): boolean => {
  if (typeof value === "boolean") return value
  return Array.isArray(value) ? value.length > 0 : Option.isSome(value as Option.Option<unknown>)
}

const written = (name: Name): string => (name === "values" ? "--value" : `--${name}`)

const either = (names: ReadonlyArray<string>): string =>
  names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`

/** The flags that a mode takes, as they are written. */
export const flagsOf = (mode: ModeName): ReadonlyArray<string> =>
  (Object.keys(modesOf) as ReadonlyArray<Name>).filter((name) => modesOf[name].some((one) => one === mode)).map(written)

/** What is wrong with flags of other modes than this one, if there are any. */
export const misplaced = (mode: ModeName, given: Flags): string | undefined => {
  const names = Object.keys(modesOf) as ReadonlyArray<Name>
  const strangers = names.filter((name) => isGiven(given[name]) && !modesOf[name].some((one) => one === mode))
  if (strangers.length === 0) return undefined
  const each = strangers.map((name) => `${written(name)} goes with --mode=${either(modesOf[name])}`)
  return `--mode=${mode} takes no ${either(strangers.map(written))}: ${each.join("; ")}`
}
