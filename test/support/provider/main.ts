/**
 * A payment provider of our own, as a process: `node main.ts PORT FILE`. It speaks the slice of Stripe's API that the
 * product uses, and has a door of its own for tests; README.md beside this file says how to use both.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import * as Books from "./Books.ts"
import * as Faults from "./Faults.ts"
import * as StripeApi from "./StripeApi.ts"

const [port = "0", file = ":memory:"] = process.argv.slice(2)
const books = Books.open(file)
const faults = Faults.make()
const requests: Partial<Record<Faults.Operation, number>> = {}
let numberOfRequest = 0

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts).toString("utf8")
}

const json = (response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(typeof body === "string" ? body : JSON.stringify(body))
}

const routes: ReadonlyArray<readonly [string, RegExp, Faults.Operation]> = [
  ["POST", /^\/v1\/payment_intents$/, "prepare"],
  ["GET", /^\/v1\/payment_intents\/(\w+)$/, "retrieve"],
  ["POST", /^\/v1\/payment_intents\/(\w+)\/confirm$/, "confirm"],
  ["POST", /^\/v1\/payment_intents\/(\w+)\/cancel$/, "cancel"],
  ["POST", /^\/v1\/refunds$/, "refund"],
  ["GET", /^\/v1\/refunds$/, "refunds"]
]

const questionOf = (method: string, url: URL, body: string): StripeApi.Question | undefined => {
  for (const [verb, path, operation] of routes) {
    const found = verb === method ? path.exec(url.pathname) : null
    if (found)
      return { operation, id: found[1], params: method === "GET" ? url.searchParams : new URLSearchParams(body) }
  }
  return undefined
}

interface Keyed {
  readonly key: string | undefined
  /** Path and body. */
  readonly asked: string
}

/** The answer that is kept for this key, or else a new one, kept together with what it did. */
const answered = ({ asked, key }: Keyed, answer: () => StripeApi.Answer) =>
  books.atOnce(() => {
    const kept = key === undefined ? undefined : books.answer(key)
    if (kept !== undefined) {
      return kept.question === asked ? { ...kept, isReplay: true } : { ...StripeApi.otherQuestion, isReplay: false }
    }
    const { body, isKept, status } = answer()
    if (key !== undefined && isKept) books.keepAnswer(key, { question: asked, status, body: JSON.stringify(body) })
    return { status, body, isReplay: false }
  })

/** What goes wrong with a request: by rule, or by its payment method; a replay meets the rules only. */
const faultFor = (question: StripeApi.Question, { key }: Keyed): Faults.FaultRule | undefined => {
  const intent = StripeApi.intentOf(books, question)
  const { operation, params } = question
  const rule = faults.take({
    operation,
    paymentId: intent?.paymentId ?? params.get("metadata[payment_id]") ?? undefined,
    paymentMethod: intent?.paymentMethod ?? params.get("payment_method") ?? undefined
  })
  if (rule !== undefined || intent === undefined || operation !== "confirm") return rule
  if (key !== undefined && books.answer(key) !== undefined) return undefined
  const fault = StripeApi.faultOf(intent)
  if (fault === "error" || fault === "timeout") StripeApi.countAttempt(books, intent)
  return fault === undefined ? undefined : { fault }
}

const send = (
  response: ServerResponse,
  { body, isReplay, status }: { readonly status: number; readonly body: unknown; readonly isReplay: boolean },
  headers: Record<string, string> = {}
): void => {
  const replayed = isReplay ? { "idempotent-replayed": "true" } : {}
  json(response, status, body, { ...replayed, ...headers, "request-id": `req_${++numberOfRequest}` })
}

const fresh = (answer: StripeApi.Answer) => ({ ...answer, isReplay: false })

type Reply = readonly [status: number, body: unknown]

let clearing = Promise.withResolvers<void>()

const clearFaults = (): Reply => {
  faults.clear()
  clearing.resolve()
  clearing = Promise.withResolvers()
  return [200, {}]
}

const addFault = (body: string): Reply => {
  const rule: Faults.FaultRule = JSON.parse(body)
  if (!Faults.faultNames.includes(rule.fault)) return [400, { takes: Faults.faultNames }]
  faults.add(rule)
  return [200, {}]
}

const endRefund = (body: string): Reply => {
  const { paymentId, status } = JSON.parse(body)
  return books.atOnce((): Reply => {
    const intent = books.ofPayment(paymentId)
    if (intent === undefined) return [404, {}]
    StripeApi.endRefund(books, intent, status)
    return [200, { reference: intent.id, refund: intent.refunds.at(-1)?.id }]
  })
}

const controls: Readonly<Record<string, (body: string) => Reply>> = {
  "GET /_control/report": () => [200, { payments: books.money(), requests }],
  "POST /_control/faults": addFault,
  "POST /_control/refunds": endRefund,
  "DELETE /_control/faults": clearFaults
}

const carryOut = async (question: StripeApi.Question, keyed: Keyed, response: ServerResponse): Promise<void> => {
  const rule = faultFor(question, keyed)
  const handle = () => StripeApi.handle(books, question)
  switch (rule?.fault) {
    case undefined:
      return send(response, answered(keyed, handle))
    case "error":
      return send(response, fresh(StripeApi.broken))
    case "error_kept":
      return send(
        response,
        answered(keyed, () => ({ ...StripeApi.broken, isKept: true }))
      )
    case "refused_kept":
      return send(
        response,
        answered(keyed, () => StripeApi.tooPoor)
      )
    case "error_after":
      return send(
        response,
        answered(keyed, () => {
          handle()
          return { ...StripeApi.broken, isKept: true }
        })
      )
    case "unauthorized":
      return send(response, fresh(StripeApi.unauthorized))
    case "forbidden":
      return send(response, fresh(StripeApi.forbidden))
    case "limited":
      return send(response, fresh(StripeApi.limited), { "retry-after": String(rule.seconds ?? 1) })
    case "timeout":
      return
    case "timeout_after":
      return void answered(keyed, handle)
    case "cut":
      return void response.destroy()
    case "cut_after":
      answered(keyed, handle)
      return void response.destroy()
    case "late":
      await Promise.race([clearing.promise, ...(rule.millis === undefined ? [] : [sleep(rule.millis)])])
      return send(response, answered(keyed, handle))
  }
}

const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const { headers, method = "GET" } = request
  const url = new URL(request.url ?? "/", "http://provider")
  const body = await bodyOf(request)
  const control = controls[`${method} ${url.pathname}`]
  if (control !== undefined) return json(response, ...control(body))
  const question = questionOf(method, url, body)
  if (question === undefined) return json(response, 404, {})
  requests[question.operation] = (requests[question.operation] ?? 0) + 1
  if (!headers.authorization?.startsWith("Bearer sk_test_")) return send(response, fresh(StripeApi.unauthorized))
  const key = headers["idempotency-key"]
  return carryOut(question, { key: typeof key === "string" ? key : undefined, asked: url.pathname + body }, response)
}

const server = createServer((request, response) => {
  serve(request, response).catch((error: unknown) => {
    console.error(error)
    response.destroy()
  })
})
// longer than any test: an idle connection that is closed just when it is used again looks like an unanswered request
server.keepAliveTimeout = 600_000
server.listen(Number(port), "127.0.0.1")
