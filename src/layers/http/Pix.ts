/** The handlers of the PIX system: events to brokers, and histories from the audit log. */
import { Effect, Layer, Schema } from "effect"
import { HttpRouter, type HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { isoOf } from "../../domain/Instant.ts"
import { TransactionId } from "../../domain/PixEvent.ts"
import { AuditLog } from "../../domain/ports/AuditLog.ts"
import type { Broker } from "../../domain/ports/Broker.ts"
import { within } from "../../streams/Within.ts"
import type { ApiSettings, BrokerKind } from "../config/Settings.ts"
import * as Access from "./Access.ts"
import type { Surroundings } from "./Idempotency.ts"
import type { Api } from "./PaystreamApi.ts"
import * as PixApi from "./PixApi.ts"
import * as Problems from "./Problems.ts"
import * as PublishEvent from "./PublishEvent.ts"

export interface PixOptions {
  readonly settings: ApiSettings
  readonly brokers: ReadonlyMap<BrokerKind, Broker["Service"]>
}

/** Through the router alone: `HttpApiBuilder` copies contexts with each request, and takes steps for headers and keys. */
const events = ({ brokers, settings }: PixOptions, { admit }: Access.Gate, surroundings: Surroundings) =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      for (const [kind, broker] of brokers) {
        const { name, path } = PixApi.routes[kind]
        const target = yield* PublishEvent.targetOf(broker, name, settings.publishTimeout)
        const publish = PublishEvent.make(target, path, settings, surroundings)
        const serve = (request: HttpServerRequest.HttpServerRequest) =>
          admit(Access.keysIn(request.headers), (client) => publish(request, client.name)).pipe(
            Effect.catch((problem) => Problems.toResponse(problem))
          )
        for (const alias of PixApi.pathsOf(kind)) yield* router.add("POST", alias, serve)
      }
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
          at: isoOf(atMillis),
          ...(detail === undefined ? {} : { detail })
        }))
        return { transactionId, status: last.action, steps }
      })
    )
  )

export const layer = (api: Api, options: PixOptions, gate: Access.Gate, surroundings: Surroundings) =>
  Layer.merge(events(options, gate, surroundings), history(api, options))
