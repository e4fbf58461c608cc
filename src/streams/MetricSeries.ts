/** The series of a metric, by the values of its labels. */
import { Metric } from "effect"

/** Looks each up once: to find a series by its labels costs more than to update it. */
export const seriesOf = <Input, State, const Labels extends ReadonlyArray<string>>(
  metric: Metric.Metric<Input, State>,
  labels: Labels
) => {
  const known = new Map<string, Metric.Metric<Input, State>>()
  return (...values: { readonly [Place in keyof Labels]: string }): Metric.Metric<Input, State> => {
    const name = values.length === 1 ? (values[0] ?? "") : values.join("\n")
    const found = known.get(name)
    if (found !== undefined) return found
    const made = Metric.withAttributes(
      metric,
      Object.fromEntries(labels.map((label, place) => [label, values[place] ?? ""]))
    )
    known.set(name, made)
    return made
  }
}
