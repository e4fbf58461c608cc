/** The series of a metric, by the values of its labels; and several changes in one step. */
import { type Context, Effect, type Metric } from "effect"

type Attributes<Labels extends ReadonlyArray<string>> = Readonly<Record<Labels[number], string>>

/**
 * Makes each series once, with its labels for its own: labels that are given with an update (`Metric.withAttributes`)
 * are put together, and the series looked up by all of them, each time.
 */
export const seriesOf = <const Labels extends ReadonlyArray<string>, Series>(
  labels: Labels,
  make: (attributes: Attributes<Labels>) => Series
) => {
  const known = new Map<string, Series>()
  return (...values: { readonly [Place in keyof Labels]: string }): Series => {
    const name = values.length === 1 ? (values[0] ?? "") : values.join("\n")
    const found = known.get(name)
    if (found !== undefined) return found
    const attributes = Object.fromEntries(labels.map((label, place) => [label, values[place] ?? ""]))
    const made = make(attributes as Attributes<Labels>)
    known.set(name, made)
    return made
  }
}

/** Updates them in one step, where `Metric.update` takes several for each. */
export const updateAll = (...updates: ReadonlyArray<readonly [Metric.Metric<number, unknown>, number]>) =>
  Effect.contextWith((context: Context.Context<never>) => {
    for (const [metric, value] of updates) metric.updateUnsafe(value, context)
    return Effect.void
  })
