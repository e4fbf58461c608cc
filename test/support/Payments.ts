/** Payments as tests ask for them over HTTP, and as the database has them. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import * as Api from "./Api.ts"
import { query } from "./Databases.ts"
import * as Stage from "./Stage.ts"
import { eventually } from "./servers/eventually.ts"

/** A body; a card that is charged unless told. */
export const body = (paymentMethod = "pm_card_visa", more: Readonly<Record<string, unknown>> = {}) =>
  JSON.stringify({ amount: "100.00", currency: "BRL", paymentMethod, ...more })

export interface PaymentsOptions extends Api.ApiOptions {
  /** Where it plays; a stage of its own unless told. */
  readonly stage?: Stage.Stage
}

/** An API for payments alone. */
export const start = (options: PaymentsOptions) =>
  Effect.gen(function* () {
    const stage = options.stage ?? (yield* Stage.make)
    // many of them work side by side: only what is away is to be told of as away
    const patience = { API_PUBLISH_TIMEOUT_SECONDS: "60" }
    const env = { API_BROKERS: "none", PAYMENT_GATEWAY: "sandbox", ...patience, ...options.env }
    const { child, url } = yield* Api.start(stage, { ...options, env })
    const ask = (given: string, key: string = randomUUID(), headers: Readonly<Record<string, string>> = {}) =>
      Api.post(`${url}/payments`, given, { "idempotency-key": key, ...headers })
    const rows = <Row extends object>(statement: string) => query<Row>(Redacted.make(stage.databaseUrl), statement)
    return { stage, child, url, ask, rows }
  })

export interface Told {
  readonly id: string
  readonly status: string
  readonly failure?: string
  readonly reference?: string
  readonly history?: ReadonlyArray<{ readonly event: string; readonly step?: string }>
}

/** The payment that an answer tells of. */
export const told = ({ text }: Api.Answer): Told => JSON.parse(text)

/** Everything on its way to brokers. */
export const outbox = "SELECT topic, key, payload, headers FROM outbox_events ORDER BY sequence"
export interface OutboxRow {
  readonly topic: string
  readonly key: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
}

/** Waits until the payment at an address has this status, and gives it. */
export const reaches = (url: string, status: string) =>
  eventually(
    Effect.map(Api.ask(url), (answer) => {
      const payment = told(answer)
      assert.strictEqual(payment.status, status)
      return payment
    }),
    { deadline: "60 seconds", every: "100 millis" }
  )
