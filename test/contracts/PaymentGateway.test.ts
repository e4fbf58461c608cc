/** Every implementation passes the contract. */
import { Duration, Effect, Layer } from "effect"
import * as MemoryGateway from "../../src/layers/memory/MemoryGateway.ts"
import * as SandboxGateway from "../../src/layers/postgres/SandboxGateway.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { Provider, stripeAt } from "../support/StripeStage.ts"
import { type Counted, suite, Till } from "./PaymentGatewayContract.ts"

const memoryTill = Layer.effect(
  Till,
  Effect.map(MemoryGateway.GatewayBooks, (books) => ({ count: books.moneyOf }))
)

const counted = `
  SELECT count(charged_at)::integer AS charges, count(refunded_at)::integer AS refunds,
    coalesce(sum(amount_minor) FILTER (WHERE charged_at IS NOT NULL), 0)::text AS charged,
    coalesce(sum(amount_minor) FILTER (WHERE refunded_at IS NOT NULL), 0)::text AS refunded
  FROM sandbox_charges WHERE payment_id = $1`

const sandbox = Layer.unwrap(
  Effect.map(newDatabase, (url) => {
    const gateway = SandboxGateway.layer({ address: "the tests' server", migrateOnStart: true, delay: Duration.zero })
    const till = Layer.succeed(Till, {
      count: (paymentId) =>
        Effect.map(query(url, counted, [paymentId]), ([row]): Counted => {
          const { charged, charges, refunded, refunds } = row ?? {}
          return { charges, refunds, charged: BigInt(charged), refunded: BigInt(refunded) }
        })
    })
    return Layer.merge(Layer.provide(gateway, postgresClient(url)), till)
  })
)

const stripe = Layer.unwrap(
  Effect.map(Provider, ({ report, url }) => {
    const count = (paymentId: string) =>
      Effect.map(report, ({ payments }): Counted => {
        const { charged = 0, charges = 0, refunded = 0, refunds = 0 } = payments[paymentId] ?? {}
        return { charges, refunds, charged: BigInt(charged), refunded: BigInt(refunded) }
      })
    return Layer.merge(stripeAt(url), Layer.succeed(Till, { count }))
  })
)

suite("memory", Layer.provideMerge(memoryTill, MemoryGateway.layer))
suite("the sandbox on PostgreSQL", sandbox)
suite("Stripe, before a provider of our own", Layer.provide(stripe, Provider.layer))
