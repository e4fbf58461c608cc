/** The settings as `.env.example` and the README show them. */
import type { Setting } from "./Setting.ts"
import { sections } from "./Settings.ts"

const line = /(?:\S.{0,116}\S|\S)(?=\s|$)/g

/** Lines of a comment, broken between words. */
const comment = (text: string): string => (text.match(line) ?? []).map((words) => `# ${words}`).join("\n")

/** `.env` takes the text after `=` as it stands, so what a default means in words goes into the comment. */
const isWritten = ({ default: text }: Setting<unknown>): boolean => text !== "" && !/[\s<>]/.test(text)

const entry = (setting: Setting<unknown>): string => {
  const takes = setting.takes.startsWith("any text") ? "" : ` Takes ${setting.takes}.`
  const whenUnset = isWritten(setting) || setting.default === "" ? "" : ` Default: ${setting.default}.`
  const secret = setting.secret ? ` ${setting.name}_FILE may name a file that holds it instead.` : ""
  const value = isWritten(setting) ? setting.default : ""
  return `${comment(`${setting.reason}${takes}${whenUnset}${secret}`)}\n#${setting.name}=${value}`
}

/** A file to be copied to `.env`: every setting, switched off, with its reason and its default. */
export const dotEnvExample = (): string => {
  const head = comment(
    "Copy this file to .env and take the # from what you want to set. The environment wins over .env."
  )
  const body = sections.map(({ title, group }) => `# --- ${title} ---\n\n${group.settings.map(entry).join("\n\n")}`)
  return `${[head, ...body].join("\n\n")}\n`
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;")

const row = (setting: Setting<unknown>): string => {
  const text = isWritten(setting) ? `\`${setting.default}\`` : cell(setting.default)
  const reason = `${cell(setting.reason)}${setting.secret ? ` Or \`${setting.name}_FILE\`.` : ""}`
  return `| \`${setting.name}\` | ${reason} | ${cell(setting.takes)} | ${text} |`
}

/** One table for all: a section is a row in bold. */
export const markdownTable = (): string => {
  const rows = sections.flatMap(({ title, group }) => [`| **${title}** | | | |`, ...group.settings.map(row)])
  return ["| variable | meaning | takes | default |", "|---|---|---|---|", ...rows].join("\n")
}

const marked = /(<!-- settings -->\n)[\s\S]*?(<!-- \/settings -->)/

/** The page with the table between its markers; a page without markers stays as it is. */
export const withTable = (page: string): string =>
  page.replace(marked, (_, start: string, end: string) => `${start}${markdownTable()}\n${end}`)
