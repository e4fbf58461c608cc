/** The flags of `outbox list | stats | retry | skip`; what they do is loaded when it is asked for. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { json, limit } from "./Flags.ts"

const commands = Effect.promise(() => import("./OutboxCommands.ts"))

const ids = Flag.String("id").pipe(Flag.atLeast(0), Flag.withDescription("An event's id; may be repeated"))

const list = Command.make(
  "list",
  {
    dead: Flag.Boolean("dead").pipe(Flag.withDefault(false), Flag.withDescription("Only dead events")),
    limit: limit(100),
    json
  },
  (given) => Effect.flatMap(commands, (outbox) => outbox.list(given))
).pipe(Command.withDescription("List events that are not published, oldest first"))

const stats = Command.make("stats", { json }, (given) =>
  Effect.flatMap(commands, (outbox) => outbox.stats(given))
).pipe(Command.withDescription("Count events that are not published, and name open transactions"))

const retry = Command.make(
  "retry",
  {
    ids,
    all: Flag.Boolean("all").pipe(Flag.withDefault(false), Flag.withDescription("All that are failing or dead")),
    json
  },
  (given) => Effect.flatMap(commands, (outbox) => outbox.retry(given))
).pipe(Command.withDescription("Bring failing and dead events back with all their attempts"))

const skip = Command.make("skip", { ids, json }, (given) =>
  Effect.flatMap(commands, (outbox) => outbox.skip(given))
).pipe(Command.withDescription("Let keys go on without dead events"))

/** `outbox list | stats | retry | skip`. */
export const outbox = Command.make("outbox").pipe(
  Command.withDescription("Look at the outbox, and bring its dead events back"),
  Command.withSubcommands([list, stats, retry, skip])
)
