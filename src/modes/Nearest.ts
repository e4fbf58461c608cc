/** What somebody may have meant who has misspelt a name. */

/** So many letters may be wrong, missing or too many, and less than half of them. */
const mostWrong = 2

/** How many letters have to be changed, left out or put in to make one of the other (Levenshtein). */
const distance = (one: string, other: string): number => {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1]
    for (const [place, against] of [...other].entries()) {
      const changed = (row[place] ?? 0) + (letter === against ? 0 : 1)
      next.push(Math.min(changed, (row[place + 1] ?? 0) + 1, (next[place] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

/** The name that is most like it, if one is like it at all. */
export const nearest = (given: string, names: ReadonlyArray<string>): string | undefined => {
  const all = names
    .map((name) => ({ name, wrong: distance(given, name) }))
    .sort((one, other) => one.wrong - other.wrong)
  const [first] = all
  if (first === undefined || first.wrong > mostWrong) return undefined
  return first.wrong * 2 < Math.max(given.length, first.name.length) ? first.name : undefined
}
