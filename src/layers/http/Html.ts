/**
 * HTML from templates.
 *
 * ## Guarantees
 * - Whatever text is put into a template stands there as text: in an element and in a quoted attribute it can neither end
 *   what it is in nor begin anything. What is HTML is so by its type.
 */
import { Data } from "effect"

/** HTML that a template has made. */
export class Html extends Data.Class<{ readonly text: string }> {}

type Part = Html | string | number | undefined | ReadonlyArray<Html>

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;"
}

/** What HTML cannot hold, and what could hide text or turn it round. */
const unshowable = /(?![\n\t])[\p{Cc}\p{Cs}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu

const escaped = (text: string): string =>
  text.replace(unshowable, "\u{fffd}").replace(/[&<>"'`]/g, (character) => entities[character] ?? "")

const shown = (part: Part): string => {
  if (part === undefined) return ""
  if (part instanceof Html) return part.text
  if (typeof part === "object") return part.map(({ text }) => text).join("")
  return escaped(String(part))
}

/** A template: its own text is HTML, and what is put into it is text unless it is HTML by its type. */
export const html = (own: TemplateStringsArray, ...parts: ReadonlyArray<Part>): Html =>
  new Html({ text: own.map((text, index) => text + shown(parts[index])).join("") })
