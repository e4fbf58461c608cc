/**
 * How many deliveries to ask for, so that the bytes in hand stay below a limit: the broker's prefetch counts messages
 * only. Pure: the consumer asks, and does what it says.
 */

export interface Flow {
  /** What to ask the broker for at the next (re)subscription. */
  readonly prefetch: number
  readonly bytesInHand: number
  /** The largest body since the prefetch last changed. */
  readonly largestBody: number
  /** Deliveries taken since the prefetch last changed. */
  readonly taken: number
  /** Nothing is taken until half of what is in hand is settled. */
  readonly paused: boolean
}

export interface FlowLimits {
  readonly maxPrefetch: number
  readonly maxBytes: number
}

export const start = ({ maxPrefetch }: FlowLimits): Flow => ({
  prefetch: maxPrefetch,
  bytesInHand: 0,
  largestBody: 0,
  taken: 0,
  paused: false
})

/** A delivery arrived. The one that passes the limit is kept (it is here already); those after it are given back. */
export const take = (limits: FlowLimits, flow: Flow, bytes: number): Flow => {
  const bytesInHand = flow.bytesInHand + bytes
  const largestBody = Math.max(flow.largestBody, bytes)
  if (bytesInHand <= limits.maxBytes) return { ...flow, bytesInHand, largestBody, taken: flow.taken + 1 }
  const affordable = Math.max(1, Math.floor(limits.maxBytes / 2 / largestBody))
  return { prefetch: Math.min(flow.prefetch, affordable), bytesInHand, largestBody: 0, taken: 0, paused: true }
}

/** Deliveries were settled. */
export const settle = (flow: Flow, bytes: number): Flow => ({ ...flow, bytesInHand: flow.bytesInHand - bytes })

/** Whether to subscribe (again): after a pause that has served its purpose, or to ask for more after a calm while. */
export const shouldResume = (limits: FlowLimits, flow: Flow): boolean =>
  flow.paused
    ? flow.bytesInHand <= limits.maxBytes / 2
    : flow.prefetch < limits.maxPrefetch && flow.taken >= flow.prefetch * 8

/** The state with which to subscribe again: after a calm while, twice the prefetch. */
export const resume = (limits: FlowLimits, flow: Flow): Flow => ({
  ...flow,
  prefetch: flow.paused ? flow.prefetch : Math.min(limits.maxPrefetch, flow.prefetch * 2),
  taken: 0,
  paused: false
})
