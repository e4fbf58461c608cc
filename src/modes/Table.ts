/** Rows for people: columns as wide as they need to be, with their names above. */

/** The rows as lines of text; the columns are those of the first row. */
export const table = (rows: ReadonlyArray<Readonly<Record<string, string | number>>>): string => {
  const names = Object.keys(rows[0] ?? {})
  const lines = [Object.fromEntries(names.map((name) => [name, name.toUpperCase()])), ...rows]
  const widths = names.map((name) => Math.max(...lines.map((line) => String(line[name]).length)))
  return lines
    .map((line) =>
      names
        .map((name, index) => String(line[name]).padEnd(widths[index] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
