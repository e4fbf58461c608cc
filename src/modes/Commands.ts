/** The subcommands, as the command line takes them; what they do is loaded when it is asked for. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { deadLetters } from "./DeadLetterCommands.ts"
import { erase } from "./EraseCommandLine.ts"
import { type Flags, flags, json } from "./Flags.ts"
import { jobs, runJob } from "./JobCommandLine.ts"
import { outbox } from "./OutboxCommandLine.ts"
import type { Part } from "./Part.ts"
import { sagas } from "./SagaCommandLine.ts"

/** Waits for a module that is loaded when it is asked for. */
export const load = <A>(module: Promise<A>) => Effect.promise(() => module)

/** Runs one part as a process of its own. */
export const alone = Effect.fnUntraced(function* (part: Promise<Part>) {
  const [{ longRunning }, loaded] = yield* load(Promise.all([import("./LongRunning.ts"), part]))
  yield* longRunning({ mode: loaded.name, parts: [loaded] })
})

/** Which topic workers there are, and which of them to run. */
export const consumersOptions = (given: {
  readonly workers: Option.Option<string>
  readonly worker: ReadonlyArray<string>
}) => ({ module: Option.getOrUndefined(given.workers), names: given.worker })

/** Runs topic workers. */
export const consumersOf = (given: Parameters<typeof consumersOptions>[0]) =>
  alone(import("./Consumers.ts").then(({ consumers }) => consumers(consumersOptions(given))))

/** Runs jobs on their schedules. */
export const schedulerOf = (given: Pick<Flags, "job" | "jobs">) =>
  alone(
    import("./Scheduler.ts").then(({ scheduler }) =>
      scheduler({ module: Option.getOrUndefined(given.jobs), names: given.job })
    )
  )

/** Publishes values to a topic, or samples to a queue. */
export const publishOf = Effect.fnUntraced(function* (
  given: Pick<Flags, "count" | "host" | "json" | "key" | "queue" | "topic" | "values">
) {
  const toTopic = Option.isSome(given.topic) || given.values.length > 0
  if (toTopic) yield* (yield* load(import("./PublishToTopic.ts"))).publishToTopic(given)
  else yield* (yield* load(import("./Publish.ts"))).publish(given)
})

const { count, host, key, queue, topic, values } = flags

const publish = Command.make("publish", { topic, values, key, json, count, queue, host }, publishOf).pipe(
  Command.withDescription("Publish values to a topic, or samples to a queue: the same as --mode=publish")
)

const module = flags.workers.pipe(Flag.withDescription("The module that exports the workers, instead of WORKERS"))

const workers = Command.make("workers", { workers: module, json }, (given) =>
  Effect.flatMap(load(import("./ListWorkers.ts")), ({ listWorkers }) =>
    listWorkers({ module: Option.getOrUndefined(given.workers), json: given.json })
  )
).pipe(Command.withDescription("List the topic workers"))

const workerName = Argument.String("name").pipe(Argument.withDescription("The worker's name, or all"))

const runWorker = Command.make("runworker", { name: workerName, workers: module }, (given) =>
  consumersOf({ workers: given.workers, worker: given.name === "all" ? [] : [given.name] })
).pipe(Command.withDescription("Run one topic worker, or all: the same as --mode=consumers"))

/** All of them. */
export const subcommands = [publish, workers, runWorker, jobs, runJob, deadLetters, outbox, sagas, erase] as const

/** How they are called. */
export const commandNames: ReadonlyArray<string> = subcommands.map(({ name }) => name)
