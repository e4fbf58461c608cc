/** What is wrong with the configuration: all of it at once, and never a secret. */
import { Schema } from "effect"

/** One variable that cannot be used: what it got (or that it is a secret) and what it takes. */
export const Problem = Schema.Struct({ name: Schema.String, got: Schema.String, takes: Schema.String })
export type Problem = typeof Problem.Type

/** The configuration is wrong: nothing may start. The message has a line per problem. */
export class SettingsError extends Schema.TaggedError<SettingsError>()("SettingsError", {
  problems: Schema.Array(Problem)
}) {
  override get message(): string {
    const lines = this.problems.map(({ name, got, takes }) => `  ${name}: got ${got}; takes ${takes}`)
    return [`The configuration is wrong (${this.problems.length} to mend):`, ...lines].join("\n")
  }
}

const longestText = 100

/** A value as a log may show it: short, and without the credentials of an address. */
export const withoutCredentials = (text: string): string => {
  // A whole address in the place of a host name is a common slip, and it has the password in it.
  const shown = text.replace(/:\/\/.*@/s, "://…@")
  return shown.length > longestText ? `${shown.slice(0, longestText)}…` : shown
}

/** The same in quotes and on one line. */
export const quote = (text: string): string => JSON.stringify(withoutCredentials(text))
