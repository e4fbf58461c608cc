/** The handlers of the PIX system: events to brokers, and histories from the audit log. */
import { DateTime, Effect, Layer, Schema } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { TransactionId } from "../../domain/PixEvent.ts"
import { AuditLog } from "../../domain/ports/AuditLog.ts"
import type { Broker } from "../../domain/ports/Broker.ts"
import { within } from "../../streams/Within.ts"
import type { ApiSettings, BrokerKind } from "../config/Settings.ts"
import type { Surroundings } from "./Idempotency.ts"
import type { Api } from "./PaystreamApi.ts"
import * as PixApi from "./PixApi.ts"
import * as Problems from "./Problems.ts"
import * as PublishEvent from "./PublishEvent.ts"

export interface PixOptions {
  readonly settings: ApiSettings
  readonly brokers: ReadonlyMap<BrokerKind, Broker["Service"]>
}

const events = (api: Api, { brokers, settings }: PixOptions, surroundings: Surroundings) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const targets = yield* Effect.forEach(brokers, ([kind, broker]) =>
        Effect.map(PublishEvent.targetOf(broker, PixApi.routes[kind].name, settings.publishTimeout), (target) => ({
          kind,
          target
        }))
      )
      return HttpApiBuilder.group(api, "events", (handlers) => {
        for (const { kind, target } of targets) {
          const handler = PublishEvent.make(target, PixApi.routes[kind].path, settings, surroundings)
          for (const alias of PixApi.pathsOf(kind)) handlers.handleRaw(`publish ${alias}`, handler)
        }
        // Which routes there are is known only here: the compiler cannot tell that each has its handler.
        return handlers as never
      })
    })
  )

const isTransactionId = Schema.is(TransactionId)

const unreadable = () => new Problems.Unavailable({ detail: "the audit log cannot be read now" })

const history = (api: Api, { settings }: PixOptions) =>
  HttpApiBuilder.group(api, "pix", (handlers) =>
    handlers.handle(
      "history",
      Effect.fnUntraced(function* ({ params: { transactionId } }) {
        // A database refuses some texts: of what no payment has for its id, it is not asked.
        if (!isTransactionId(transactionId)) return yield* new Problems.UnknownTransaction()
        const log = yield* AuditLog
        const found = yield* log.history(transactionId).pipe(
          Effect.mapError(() => unreadable()),
          within(settings.publishTimeout, () => Effect.fail(unreadable()))
        )
        const last = found.at(-1)
        if (last === undefined) return yield* new Problems.UnknownTransaction()
        const steps = found.map(({ action, atMillis, detail }) => ({
          action,
          at: DateTime.formatIso(DateTime.makeUnsafe(atMillis)),
          ...(detail === undefined ? {} : { detail })
        }))
        return { transactionId, status: last.action, steps }
      })
    )
  )

export const layer = (api: Api, options: PixOptions, surroundings: Surroundings) =>
  Layer.merge(events(api, options, surroundings), history(api, options))
