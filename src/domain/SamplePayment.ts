/** Payments for demonstrations and tests: plausible, and different for every number. */

const currencies = ["BRL", "EUR", "USD"] as const
const customers = ["Ana Souza", "Bruno Lima", "Carla Dias", "Davi Rocha", "Elisa Melo"] as const

export interface SamplePayment {
  readonly order_id: string
  readonly amount: string
  readonly currency: string
  readonly customer: string
}

/** The payment of a number (a whole one, from 0); amounts have two places and are text, so that no digit is lost. */
export const samplePayment = (number: number): SamplePayment => {
  // A step that shares no factor with the range visits every amount before one comes again.
  const cents = ((number * 7919) % 99_999) + 1
  return {
    order_id: `order-${number}`,
    amount: `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`,
    currency: currencies[number % currencies.length] ?? currencies[0],
    customer: customers[number % customers.length] ?? customers[0]
  }
}
