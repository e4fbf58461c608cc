/** The value below which `share` of the values lie, by the nearest rank; NaN of none. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** The middle value, or the mean of the two in the middle. */
export const median = (values: ReadonlyArray<number>): number =>
  (quantile(values, 0.5) +
    -quantile(
      values.map((value) => -value),
      0.5
    )) /
  2
