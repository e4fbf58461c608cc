/** Names of what the operator makes, none longer than Kubernetes takes. */

/** A label's value, and the name of a Job, which is made one. */
const longestLabel = 63
/** Any other object's name. */
const longestName = 253

const mixed = (bytes: Uint8Array, basis: number, prime: number): number => {
  let hash = basis
  for (const byte of bytes) hash = Math.imul(hash ^ byte, prime)
  return (hash ^ (hash >>> 15)) >>> 0
}

/** Two hashes of 32 bits (FNV-1a, and one like it), in 14 letters and digits: tells texts apart, and is no secret. */
export const hashOf = (text: string): string => {
  const bytes = new TextEncoder().encode(text)
  return [mixed(bytes, 0x811c9dc5, 0x01000193), mixed(bytes, 0x9e3779b9, 0x85ebca6b)]
    .map((half) => half.toString(36).padStart(7, "0"))
    .join("")
}

/** The name with its ending; of one that is too long the beginning, and a hash of all of it. */
const within = (longest: number, name: string, ending: string): string => {
  if (name.length + ending.length <= longest) return `${name}${ending}`
  const hash = hashOf(name)
  const start = name.slice(0, longest - ending.length - hash.length - 1).replace(/[^a-zA-Z0-9]+$/, "")
  return `${start}-${hash}${ending}`
}

/** The name of the Job of a PaymentJob: with it, there is one at most. */
export const jobNameOf = (paymentJob: string): string => within(longestLabel, paymentJob, "-job")

/** A name as a label's value. */
export const labelOf = (name: string): string => within(longestLabel, name, "")

/** The name of the Lease of operators for these namespaces, or for all: each set of them has its own leader. */
export const leaseNameOf = (namespaces: ReadonlyArray<string>): string =>
  within(longestName, ["paymentjob-operator", ...namespaces.toSorted()].join("."), "")

/** The name of an event: the same occurrence has the same name, and is told once. */
export const eventNameOf = (paymentJob: string, occurrence: string): string =>
  within(longestName, paymentJob, `.${hashOf(occurrence)}`)
