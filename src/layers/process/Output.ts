/**
 * What the process prints. Into a pipe it goes as fast as somebody reads, so the end of the process waits for its reader.
 *
 * ## Guarantees
 * - All that was printed before the end is read before it, on either runtime.
 * - A reader who reads nothing any more holds the process for a time only; one who is gone, not at all.
 * - Nobody works on for a reader who is gone: the process is asked to stop, as a signal would.
 */
import { Console as NodeConsole } from "node:console"
import { Console, Context, Effect, Layer, Option } from "effect"
import { Shutdown } from "../../streams/Shutdown.ts"
import { hasColors, isTerminal } from "../config/Terminal.ts"
import * as Outlet from "./Outlet.ts"

/** A page of a pager is read in less. */
const patience = "60 seconds"

/** Who has asked the process to stop waits for the process. */
const patienceOnceStopped = "1 seconds"

interface Shape {
  readonly print: (text: string) => Effect.Effect<void>
  /** Waits for the readers of all that was printed; false if some of it is lost to one who does not read. */
  readonly flush: Effect.Effect<boolean, never, Shutdown>
  /** How wide the terminal is that shows what is printed, if it is one. */
  readonly columns: Effect.Effect<Option.Option<number>>
}

/** Not before anything is printed. */
const toStdout = (text: string) => Effect.sync(() => void process.stdout.write(text))

/** A terminal that does not say is as wide as they all once were. */
const columns = Effect.sync(() => (isTerminal() ? Option.some(process.stdout.columns || 80) : Option.none()))

/** That of this process. */
export class Output extends Context.Reference<Shape>("paystream/layers/process/Output", {
  defaultValue: () => ({ print: toStdout, flush: Effect.succeed(true), columns })
}) {}

const flushOf = (outlets: ReadonlyArray<Outlet.Outlet>): Shape["flush"] => {
  const flushed = Effect.forEach(outlets, (outlet) => outlet.flushed, { concurrency: "unbounded", discard: true })
  const silence = (time: typeof patience | typeof patienceOnceStopped) =>
    Effect.forEach(outlets, (outlet) => outlet.silence(time), { concurrency: "unbounded", discard: true })
  return Effect.gen(function* () {
    const { requested } = yield* Shutdown
    const givenUp = Effect.raceFirst(silence(patience), Effect.andThen(requested, silence(patienceOnceStopped)))
    return yield* Effect.raceFirst(Effect.as(flushed, true), Effect.as(givenUp, false))
  })
}

/** For whatever prints through Effect's `Console`, the log included: that of Bun would write at once and wait itself. */
export const layer: Layer.Layer<never, never, Shutdown> = Layer.effectContext(
  Effect.gen(function* () {
    const shutdown = yield* Shutdown
    const run = Effect.runForkWith(yield* Effect.context())
    const onGone = () => void run(shutdown.request)
    const stdout = Outlet.make(process.stdout, onGone)
    const stderr = Outlet.make(process.stderr, onGone)
    const console = new NodeConsole({ stdout: stdout.stream, stderr: stderr.stream, colorMode: hasColors() })
    const print = (text: string) => Effect.sync(() => void stdout.stream.write(text))
    return Context.make(Output, { print, flush: flushOf([stdout, stderr]), columns }).pipe(
      Context.add(Console.Console, console)
    )
  })
)
