/** Rows for people: whatever strangers have written in them, it does nothing to a terminal. */
import { printable } from "../domain/Printable.ts"

/** What each column shows. */
export type Row = Readonly<Record<string, string | number>>

const cell = (value: string | number | undefined): string => printable(String(value))

/** The width of the widest line. */
export const widthOf = (text: string): number =>
  text.split("\n").reduce((widest, line) => Math.max(widest, line.length), 0)

/** One below the other: the first field as the title, every other on a line of its own. */
export const cards = (rows: ReadonlyArray<Row>): string => {
  const width = Math.max(...rows.flatMap((row) => Object.keys(row).map((name) => name.length)))
  return rows
    .map((row) => {
      const [[, title] = ["", ""], ...fields] = Object.entries(row)
      return [cell(title), ...fields.map(([name, value]) => `  ${name.padEnd(width)}  ${cell(value)}`)].join("\n")
    })
    .join("\n\n")
}

/** A line for each, with columns as wide as they need to be and their names above; the columns are those of the first row. */
export const table = (rows: ReadonlyArray<Row>): string => {
  const names = Object.keys(rows[0] ?? {})
  const headings = names.map((name) => name.toUpperCase())
  const lines = [headings, ...rows.map((row) => names.map((name) => cell(row[name])))]
  const widths = names.map((_, index) => lines.reduce((widest, line) => Math.max(widest, line[index]?.length ?? 0), 0))
  return lines
    .map((line) =>
      line
        .map((text, index) => text.padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
