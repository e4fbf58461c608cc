/** Lines of plain text in columns: the first to the left, numbers to the right. */
export const table = (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
  return all.map(line).join("\n")
}

/** With a comma between thousands, and so many digits after the point. */
export const number = (value: number, digits = 0): string =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** The same, and a dash where nothing was measured. */
export const figure = (value: number, digits = 0): string => (Number.isFinite(value) ? number(value, digits) : "-")
