/** JSON merge patches (RFC 7386): how an API server changes an object. */
import { Predicate } from "effect"

/** What is to become of an object's fields: `null` removes, an object goes deeper, an array is replaced whole. */
export type MergePatch = Readonly<Record<string, unknown>>

/** The value as the patch makes it. */
export const merged = (value: unknown, patch: unknown): unknown => {
  if (!isPatch(patch)) return patch
  const fields = new Map(Object.entries(isPatch(value) ? value : {}))
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) fields.delete(name)
    else fields.set(name, merged(fields.get(name), change))
  }
  return Object.fromEntries(fields)
}

const isPatch = (value: unknown): value is MergePatch => Predicate.isObject(value) && !Array.isArray(value)
