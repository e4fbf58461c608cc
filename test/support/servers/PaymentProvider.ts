import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, type Scope } from "effect"
import type { Money } from "../provider/Books.ts"
import type { FaultRule, Operation } from "../provider/Faults.ts"
import { spawn } from "./Child.ts"
import { freePort } from "./freePort.ts"
import { ownProcess, type ServerControl } from "./ServerControl.ts"
import { ServerError } from "./ServerError.ts"
import { temporaryFolder } from "./temporaryFolder.ts"

/** The stateful payment provider of the tests; see the README beside its code. */
export interface PaymentProvider extends ServerControl {
  /** For `STRIPE_API_BASE`. */
  readonly url: string
  readonly port: number
  /** The next requests that fit go wrong so. */
  readonly fault: (rule: FaultRule) => Effect.Effect<void, ServerError>
  /** Ends the latest refund of a payment, whatever was said of it before; gives Stripe's names for the charge and for it. */
  readonly endRefund: (
    paymentId: string,
    status: "succeeded" | "failed"
  ) => Effect.Effect<{ readonly reference: string; readonly refund: string }, ServerError>
  readonly clearFaults: Effect.Effect<void, ServerError>
  readonly report: Effect.Effect<Report, ServerError>
}

export interface Report {
  /** By payment id. */
  readonly payments: Readonly<Record<string, Money>>
  /** Since it was started last. */
  readonly requests: Readonly<Partial<Record<Operation, number>>>
}

const root = fileURLToPath(new URL("../../..", import.meta.url))
const node = join(root, "node_modules/.bin/node")
const main = join(root, "test/support/provider/main.ts")

const asked = (url: string, init?: RequestInit): Effect.Effect<unknown, ServerError> =>
  Effect.tryPromise({
    try: async () => {
      const response = await fetch(url, init)
      if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
      return response.json()
    },
    catch: (cause) => new ServerError({ message: `the payment provider does not answer at ${url}`, cause })
  })

/** Always one of our own, with its books in a temporary folder. */
export const start: Effect.Effect<PaymentProvider, ServerError, Scope.Scope> = Effect.gen(function* () {
  const folder = yield* temporaryFolder("provider")
  const port = yield* freePort
  const url = `http://127.0.0.1:${port}`
  const args = ["--disable-warning=ExperimentalWarning", main, String(port), join(folder, "books.sqlite")]
  const report = asked(`${url}/_control/report`) as Effect.Effect<Report, ServerError>
  const control = yield* ownProcess({
    spawn: spawn(node, args, { cwd: folder, env: { PATH: process.env.PATH } }),
    ready: report,
    stopSignal: "SIGTERM"
  })
  return {
    ...control,
    url,
    port,
    fault: (rule) => Effect.asVoid(asked(`${url}/_control/faults`, { method: "POST", body: JSON.stringify(rule) })),
    endRefund: (paymentId, status) =>
      asked(`${url}/_control/refunds`, {
        method: "POST",
        body: JSON.stringify({ paymentId, status })
      }) as Effect.Effect<{ readonly reference: string; readonly refund: string }, ServerError>,
    clearFaults: Effect.asVoid(asked(`${url}/_control/faults`, { method: "DELETE" })),
    report
  }
})
