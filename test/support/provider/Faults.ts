/** What goes wrong at the provider, by rule: the first rule that fits a request is used up by it. */

export type Operation = "prepare" | "confirm" | "retrieve" | "cancel" | "refund" | "refunds"

export const faultNames = [
  /** 500, without the effect; the key may be used again. */
  "error",
  /** 500, without the effect; the answer is kept under its key, as Stripe does once a request has begun. */
  "error_kept",
  /** 500 after the effect; the answer is kept under its key. */
  "error_after",
  /** 400 without the effect, as of a balance that is too low; the answer is kept under its key. */
  "refused_kept",
  /** 401, no effect: the key is not known any more. */
  "unauthorized",
  /** 403, no effect: the key may not do this. */
  "forbidden",
  /** 429 with `Retry-After`. */
  "limited",
  /** No answer, no effect. */
  "timeout",
  /** The effect, and no answer. */
  "timeout_after",
  /** The connection breaks before the effect. */
  "cut",
  /** The connection breaks after the effect. */
  "cut_after",
  /** As if the request had been on its way for so long: then it has its effect, whoever still waits. */
  "late"
] as const
export type Fault = (typeof faultNames)[number]

export interface FaultRule {
  readonly fault: Fault
  /** All, unless told. */
  readonly operation?: Operation
  readonly paymentId?: string
  readonly paymentMethod?: string
  /** So many requests; one, unless told; null is until it is taken back. */
  readonly times?: number | null
  /** Of those that fit, each so many-th only. */
  readonly every?: number
  /** Of `limited`: for `Retry-After`. */
  readonly seconds?: number
  /** Of `late`; until the faults are taken back, unless told. */
  readonly millis?: number
}

export interface Asked {
  readonly operation: Operation
  readonly paymentId: string | undefined
  readonly paymentMethod: string | undefined
}

interface Entry {
  readonly rule: FaultRule
  left: number
  seen: number
}

const fits = ({ operation, paymentId, paymentMethod }: FaultRule, asked: Asked): boolean =>
  (operation ?? asked.operation) === asked.operation &&
  (paymentId ?? asked.paymentId) === asked.paymentId &&
  (paymentMethod ?? asked.paymentMethod) === asked.paymentMethod

/** None at first. */
export const make = () => {
  let entries: Array<Entry> = []
  const isDue = (entry: Entry, asked: Asked): boolean => {
    if (entry.left === 0 || !fits(entry.rule, asked)) return false
    entry.seen++
    return entry.seen % (entry.rule.every ?? 1) === 0
  }
  return {
    add: (rule: FaultRule): void =>
      void entries.push({ rule, left: rule.times === null ? Number.POSITIVE_INFINITY : (rule.times ?? 1), seen: 0 }),
    clear: (): void => {
      entries = []
    },
    take: (asked: Asked): FaultRule | undefined => {
      const entry = entries.find((entry) => isDue(entry, asked))
      if (entry !== undefined) entry.left--
      return entry?.rule
    }
  }
}
