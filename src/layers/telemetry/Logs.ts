/** The log: what an operator wants to know, one line each, without secrets or payloads. */
import { Layer, Logger, References } from "effect"
import type { LogSettings } from "../config/Settings.ts"
import { hasColors, isTerminal } from "../config/Terminal.ts"

type Format = NonNullable<LogSettings["format"]>

const formatOf = ({ format }: LogSettings): Format => format ?? (isTerminal() ? "pretty" : "json")

const loggers: Readonly<Record<Format, Logger.Logger<unknown, void>>> = {
  pretty: Logger.consolePretty({ colors: hasColors() }),
  logfmt: Logger.consoleLogFmt,
  json: Logger.consoleJson
}

const loggersToStderr: typeof loggers = {
  ...loggers,
  logfmt: Logger.withConsoleError(Logger.formatLogFmt),
  json: Logger.withConsoleError(Logger.formatJson)
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
