/** `dlq list|show|replay`, as the command line takes them; what they do is loaded when it is asked for. */
import { Effect } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { fromOne, json } from "./Flags.ts"

const load = <A>(module: Promise<A>) => Effect.promise(() => module)

const name = Argument.String("name").pipe(
  Argument.withDescription("The topic or queue of the dead letters, such as payments.dlq")
)

const flags = {
  id: Flag.String("id").pipe(Flag.atLeast(0), Flag.withDescription("Only this one; may be repeated")),
  limit: Flag.Int("limit").pipe(
    fromOne,
    Flag.optional,
    Flag.withDescription(
      "At most so many are looked at, from the oldest: 100 to list, 10000 to look for ids or for a dry run"
    )
  ),
  json
}

const replayFlags = {
  ...flags,
  json: json.pipe(Flag.withDescription("Print for machines: a line for each, as it is done")),
  all: Flag.Boolean("all").pipe(Flag.withDefault(false), Flag.withDescription("All that wait now")),
  dryRun: Flag.Boolean("dry-run").pipe(Flag.withDefault(false), Flag.withDescription("Only say what would be done")),
  rate: Flag.Int("rate").pipe(fromOne, Flag.optional, Flag.withDescription("At most so many in a second")),
  by: Flag.String("by").pipe(
    Flag.optional,
    Flag.withDescription("Who asks for it, as the replayed message says; the user of the system by default")
  ),
  workers: Flag.String("workers").pipe(
    Flag.optional,
    Flag.withDescription("With --dry-run: the module whose workers say what would still not decode")
  )
}

const list = Command.make("list", { name, limit: flags.limit, json: flags.json }, (given) =>
  Effect.flatMap(load(import("./DeadLetters.ts")), ({ list }) => list(given))
).pipe(Command.withDescription("List the oldest dead letters, without their payloads"))

const show = Command.make("show", { name, ...flags }, ({ id, ...given }) =>
  Effect.flatMap(load(import("./DeadLetters.ts")), ({ show }) => show({ ...given, ids: id }))
).pipe(Command.withDescription("Show everything of some: headers and payload"))

const replay = Command.make("replay", { name, ...replayFlags }, ({ id, ...given }) =>
  Effect.flatMap(load(import("./Replay.ts")), ({ replay }) => replay({ ...given, ids: id }))
).pipe(Command.withDescription("Put originals back to the group or queue that failed, and only to it"))

/** Looking at dead letters, and putting them back. */
export const deadLetters = Command.make("dlq").pipe(
  Command.withSubcommands([list, show, replay]),
  Command.withDescription("Look at dead letters, and put them back")
)
