/** Rows for people. */

type Row = Readonly<Record<string, string | number>>

/** The width of the widest line. */
export const widthOf = (text: string): number => Math.max(...text.split("\n").map((line) => line.length))

/** One below the other: the first field as the title, every other on a line of its own. */
export const cards = (rows: ReadonlyArray<Row>): string => {
  const width = Math.max(...rows.flatMap((row) => Object.keys(row).map((name) => name.length)))
  return rows
    .map((row) => {
      const [[, title] = ["", ""], ...fields] = Object.entries(row)
      return [title, ...fields.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)].join("\n")
    })
    .join("\n\n")
}

/** A line for each, with columns as wide as they need to be and their names above; the columns are those of the first row. */
export const table = (rows: ReadonlyArray<Row>): string => {
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
