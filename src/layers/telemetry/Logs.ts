/** The log: what an operator wants to know, one line each, without secrets or payloads. */
import { Formatter, Layer, Logger, References } from "effect"
import type { LogSettings } from "../config/Settings.ts"
import { hasColors, isTerminal } from "../config/Terminal.ts"

type Format = NonNullable<LogSettings["format"]>

const formatOf = ({ format }: LogSettings): Format => format ?? (isTerminal() ? "pretty" : "json")

const isPrimitive = (value: unknown): boolean => ["string", "number", "boolean"].includes(typeof value)

/**
 * As `Logger.formatJson` writes it, which looks into each value for secrets, getters and circles. Nearly no line has a
 * value that could have one: for those that have none it costs several times what they do.
 */
const formatJson = Logger.map(Logger.formatStructured, (entry) =>
  [entry.message, ...Object.values(entry.annotations)].every(isPrimitive)
    ? JSON.stringify(entry)
    : Formatter.formatJson(entry)
)

const loggers: Readonly<Record<Format, Logger.Logger<unknown, void>>> = {
  pretty: Logger.consolePretty({ colors: hasColors() }),
  logfmt: Logger.consoleLogFmt,
  json: Logger.withConsoleLog(formatJson)
}

const loggersToStderr: typeof loggers = {
  ...loggers,
  logfmt: Logger.withConsoleError(Logger.formatLogFmt),
  json: Logger.withConsoleError(formatJson)
}

/** Pretty on a terminal, else JSON, unless told otherwise. */
export const layer = (settings: LogSettings): Layer.Layer<never> =>
  Layer.merge(Logger.layer([loggers[formatOf(settings)]]), Layer.succeed(References.MinimumLogLevel, settings.level))

/** The same beside an answer, which has the standard output for itself. */
export const besideAnswer = (settings: LogSettings): Layer.Layer<never> =>
  Layer.mergeAll(
    Logger.layer([loggersToStderr[formatOf(settings)]]),
    // what the pretty one goes by
    Layer.succeed(Logger.LogToStderr, true),
    Layer.succeed(References.MinimumLogLevel, settings.level)
  )
