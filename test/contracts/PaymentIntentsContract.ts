/** What every store of payments promises, as tests: run with any layers of it and of the outbox that it belongs to. */
import { layer as withLayer } from "@effect/vitest"
import type { Layer } from "effect"
import type { Services } from "../support/PaymentIntentsGround.ts"
import { changes } from "./PaymentIntentsChangesContract.ts"
import { claims } from "./PaymentIntentsClaimsContract.ts"
import { lists } from "./PaymentIntentsListsContract.ts"

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Services, unknown>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Payment intents (${name})`, (it) => {
    changes(it)
    claims(it)
    lists(it)
  })
