/** `bun run bench <name>`: a benchmark by its name. Ctrl-C ends it with every server and process it started. */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { api } from "./api.ts"
import { commands } from "./commands.ts"
import { consumers } from "./consumers.ts"
import { operator } from "./operator.ts"
import { outbox } from "./outbox.ts"
import { scheduler } from "./scheduler.ts"
import { worker } from "./worker.ts"

const bench = Command.make("bench").pipe(
  Command.withDescription("Measures the product beside its references, in turn, on servers of its own"),
  Command.withSubcommands([worker, consumers, api, outbox, commands, operator, scheduler])
)

NodeRuntime.runMain(Command.run(bench, { version: "0" }).pipe(Effect.provide(NodeServices.layer)))
