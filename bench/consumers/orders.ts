/** What passes through: orders, of which each says which it is. */

/** Orders of so many customers come in turn; the customer is the key. */
const customers = 1_000
const bodyBytes = 200

export interface Order {
  readonly orderId: string
  readonly customer: string
  readonly sequence: number
  readonly amount: number
  readonly currency: "BRL" | "EUR"
  readonly note: string
}

const order = (sequence: number): Order => ({
  orderId: `order-${sequence}`,
  customer: `customer-${sequence % customers}`,
  sequence,
  amount: 149.9,
  currency: "BRL",
  note: ""
})

const padded = (order: Order): string => {
  const { length } = JSON.stringify(order)
  return JSON.stringify({ ...order, note: "-".repeat(Math.max(0, bodyBytes - length)) })
}

/** A message to pass through: 200 bytes of JSON, from 0 on. */
export const message = (sequence: number) => {
  const one = order(sequence)
  return { id: one.orderId, key: one.customer, text: padded(one) }
}

/** What is wrong with the outputs, if anything is: each input has to be there once, as it was, in order within its key. */
export const problemOf = (outputs: ReadonlyArray<string>, count: number): string | undefined => {
  const seen = new Set<number>()
  const lastOf = new Map<string, number>()
  for (const text of outputs) {
    const { customer, sequence }: Order = JSON.parse(text)
    if (text !== message(sequence).text) return `an output is no input: ${text}`
    if (seen.has(sequence)) return `the input ${sequence} has two outputs`
    if (sequence < (lastOf.get(customer) ?? 0)) return `${sequence} of ${customer} comes too late`
    seen.add(sequence)
    lastOf.set(customer, sequence)
  }
  return seen.size === count ? undefined : `${count} inputs have ${seen.size} outputs`
}
