/** The log: what an operator wants to know, one line each, without secrets or payloads. */
import { Layer, Logger, References } from "effect"
import type { LogSettings } from "../config/Settings.ts"

const logger = (format: LogSettings["format"]) => {
  switch (format ?? (process.stdout.isTTY ? "pretty" : "json")) {
    case "pretty":
      return Logger.consolePretty({ colors: process.stdout.isTTY === true && !process.env.NO_COLOR })
    case "logfmt":
      return Logger.consoleLogFmt
    case "json":
      return Logger.consoleJson
  }
}

/** Pretty on a terminal, else JSON, unless told otherwise. */
export const layer = ({ format, level }: LogSettings): Layer.Layer<never> =>
  Layer.merge(Logger.layer([logger(format)]), Layer.succeed(References.MinimumLogLevel, level))
