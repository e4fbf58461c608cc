/** Requests of PIX payments for simulations: coherent ones, and some that no API may take. */
import { topics } from "./PixEvent.ts"
import { samplePayment } from "./SamplePayment.ts"

const receivers = ["Padaria Aurora", "Mercado Bom Preço", "Livraria Central", "Farmácia Vida"] as const

const payment = (run: string, number: number) => {
  const { amount, customer } = samplePayment(number)
  return {
    transactionId: `${run}-${number}`,
    // as text and as a number, in turn
    amount: number % 2 === 0 ? amount : Number(amount),
    payer: customer,
    receiver: receivers[number % receivers.length] ?? receivers[0]
  }
}

const flaws: ReadonlyArray<(value: ReturnType<typeof payment>) => object> = [
  (value) => ({ topic: topics.requested, value: { ...value, amount: "0.00" } }),
  (value) => ({ topic: topics.requested, value: { ...value, amount: `${value.amount}001` } }),
  (value) => ({ topic: topics.requested, value: { ...value, payer: undefined } }),
  (value) => ({ topic: "pix.payment.unknown", value }),
  (value) => ({ topic: topics.requested, value: { ...value, transactionId: "not/an/id" } })
]

export interface SampleRequest {
  readonly transactionId: string
  readonly isValid: boolean
  /** JSON. */
  readonly body: string
}

/** The request of a number, from 0, of a run; `share` of them are invalid, evenly spread. */
export const sampleRequest = (run: string, number: number, share: number): SampleRequest => {
  const value = payment(run, number)
  const before = Math.floor(number * share)
  const isValid = Math.floor((number + 1) * share) === before
  const flaw = flaws[before % flaws.length]
  const event = isValid || flaw === undefined ? { topic: topics.requested, value } : flaw(value)
  return { transactionId: value.transactionId, isValid, body: JSON.stringify(event) }
}

/** The steps of a payment that goes all its way. */
export const expectedSteps: ReadonlyArray<string> = [
  topics.requested,
  topics.validated,
  topics.settled,
  topics.notified
]
