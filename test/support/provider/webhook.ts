/** Webhooks as Stripe sends and signs them. */
import { createHmac } from "node:crypto"

/** A notice of this type about an object of Stripe's. */
export const eventOf = (type: string, object: Readonly<Record<string, unknown>>) => ({
  id: "evt_1",
  object: "event",
  type,
  livemode: false,
  data: { object }
})

/** Body and signature, of that moment. */
export const signed = (event: unknown, secret: string, atMillis: number) => {
  const text = JSON.stringify(event)
  const time = Math.floor(atMillis / 1000)
  const hash = createHmac("sha256", secret).update(`${time}.${text}`).digest("hex")
  return { body: new TextEncoder().encode(text), signature: `t=${time},v1=${hash}` }
}
