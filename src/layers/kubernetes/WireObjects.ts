/** Objects as they come: JSON, of which we believe only what every object must have. */
import { Predicate } from "effect"
import { apiVersionOf, type ClusterObject, type Kind } from "../../domain/ClusterObjects.ts"

type Fields = Record<string, unknown>

const isText = (value: unknown): value is string => typeof value === "string" && value !== ""
const isFields = (value: unknown): value is Fields => Predicate.isObject(value) && !Array.isArray(value)

/** Parsed, or `undefined`; `managedFields` may be left out: who wrote which field is of no use to us. */
export const parse = (text: string): Fields | undefined => parsed(withoutManagedFields(text)) ?? parsed(text)

const managedFields = '"managedFields":[{'

/**
 * Half of an object's text is who manages which field of it. A quote within a string has a backslash before it, so what
 * is looked for is a field; there are objects in it and no other array, so the first end of both is its end. Where a name
 * has these two characters in it, what is left is not JSON.
 */
const withoutManagedFields = (text: string): string => {
  let kept = ""
  let from = 0
  for (let at = text.indexOf(managedFields); at !== -1; at = text.indexOf(managedFields, from)) {
    const end = text.indexOf("}]", at)
    if (end === -1) break
    kept += `${text.slice(from, at)}"managedFields":[]`
    from = end + 2
  }
  return from === 0 ? text : kept + text.slice(from)
}

const parsed = (text: string): Fields | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return isFields(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** An object of the kind, or `undefined`. In a list it comes without its kind. */
export const objectOf = <O extends ClusterObject>(kind: Kind, value: unknown): O | undefined => {
  if (!isFields(value) || !isFields(value["metadata"])) return undefined
  const { managedFields, ...metadata } = value["metadata"]
  const { name, namespace, resourceVersion, uid } = metadata
  const isWhole = [name, namespace, uid].every(isText) && isText(resourceVersion) && /^\d+$/.test(resourceVersion)
  return isWhole ? ({ ...value, apiVersion: apiVersionOf(kind), kind, metadata } as unknown as O) : undefined
}

/** A place in the history of a kind; `undefined` where it is none. */
export const versionIn = (value: unknown): bigint | undefined => {
  const metadata = isFields(value) ? value["metadata"] : undefined
  const version = isFields(metadata) ? metadata["resourceVersion"] : undefined
  return isText(version) && /^\d+$/.test(version) ? BigInt(version) : undefined
}
