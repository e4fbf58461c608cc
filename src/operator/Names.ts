/** Names of what the operator makes, none longer than Kubernetes takes. */

/** A label's value, and the name of a Job, which is made one. */
const longestLabel = 63
/** Any other object's name. */
const longestName = 253

const prime = 0x100000001b3n
const basis = 0xcbf29ce484222325n

/** FNV-1a, 64 bits, in 13 letters and digits: tells texts apart, and is no secret. */
export const hashOf = (text: string): string => {
  let hash = basis
  for (const byte of new TextEncoder().encode(text)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * prime)
  return hash.toString(36).padStart(13, "0")
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

/** The name of an event: the same occurrence has the same name, and is told once. */
export const eventNameOf = (paymentJob: string, occurrence: string): string =>
  within(longestName, paymentJob, `.${hashOf(occurrence)}`)
