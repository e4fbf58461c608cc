/** How the log looks, and how much of it there is. */
import * as Parser from "./Parser.ts"
import { all, type Group, optional, setting } from "./Setting.ts"

export interface LogSettings {
  /** `undefined`: pretty on a terminal, else JSON. */
  readonly format: "pretty" | "logfmt" | "json" | undefined
  readonly level: "Trace" | "Debug" | "Info" | "Warn" | "Error" | "Fatal" | "None"
}

const levels = {
  trace: "Trace",
  debug: "Debug",
  info: "Info",
  warn: "Warn",
  error: "Error",
  fatal: "Fatal",
  none: "None"
} as const

export const logSettings: Group<LogSettings> = all({
  format: optional(Parser.oneOf({ pretty: "pretty", logfmt: "logfmt", json: "json" }), {
    name: "LOG_FORMAT",
    default: "pretty on a terminal, else json",
    reason: "The form of a log line."
  }),
  level: setting(Parser.oneOf(levels), {
    name: "LOG_LEVEL",
    default: "info",
    reason: "The least important line shown."
  })
})
