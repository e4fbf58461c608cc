/**
 * Events over HTTP to RabbitMQ as an expert writes it by hand: the runtime's own HTTP server and amqplib, no framework.
 * The body is parsed and checked, published persistent and mandatory, and answered once confirmed.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { type ConfirmChannel, connect } from "amqplib"

const { RABBITMQ_URL = "", RABBITMQ_EXCHANGE = "", PORT = "0" } = process.env

const maxBodyBytes = 1024 * 1024
const topic = "pix.payment.requested"

const rabbit = await connect(RABBITMQ_URL, { noDelay: true })
const channel: ConfirmChannel = await rabbit.createConfirmChannel()

interface Payment {
  readonly transactionId: string
  readonly amount: string
  readonly currency?: string
  readonly payer: string
  readonly receiver: string
}

const transactionId = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$/
const amount = /^\d{1,15}(\.\d{1,2})?$/
const isLine = (text: unknown): boolean => typeof text === "string" && text.length <= 140 && text.trim() !== ""

const isPayment = (value: Partial<Payment> | undefined): value is Payment =>
  typeof value === "object" &&
  typeof value.transactionId === "string" &&
  transactionId.test(value.transactionId) &&
  typeof value.amount === "string" &&
  amount.test(value.amount) &&
  Number(value.amount) > 0 &&
  (value.currency === undefined || /^[A-Z]{3}$/.test(value.currency)) &&
  isLine(value.payer) &&
  isLine(value.receiver)

interface Answer {
  readonly status: number
  readonly body: string
}

const accepted: Answer = { status: 200, body: JSON.stringify({ status: "Event sent to RabbitMQ", topic }) }
const refused: Answer = { status: 400, body: JSON.stringify({ title: "Bad Request" }) }
const unavailable: Answer = { status: 503, body: JSON.stringify({ title: "Service Unavailable" }) }

const paymentIn = (body: string): Payment | undefined => {
  try {
    const event = JSON.parse(body)
    return event.topic === topic && isPayment(event.value) ? event.value : undefined
  } catch {
    return undefined
  }
}

const returned = new Set<string>()
channel.on("return", ({ properties }) => returned.add(properties.messageId))

/** Calls back with the answer, once it is known. */
const take = (body: string, answer: (answer: Answer) => void): void => {
  const value = paymentIn(body)
  if (value === undefined) {
    answer(refused)
    return
  }
  const messageId = value.transactionId
  const properties = {
    persistent: true,
    mandatory: true,
    messageId,
    contentType: "application/json",
    timestamp: Math.floor(Date.now() / 1000),
    headers: { key: value.transactionId }
  }
  channel.publish(RABBITMQ_EXCHANGE, topic, Buffer.from(JSON.stringify(value)), properties, (error) =>
    answer(error !== null || returned.delete(messageId) ? unavailable : accepted)
  )
}

const headers = { "content-type": "application/json" }

interface BunServer {
  readonly stop: () => Promise<void>
}
interface BunRuntime {
  readonly serve: (options: {
    readonly port: number
    readonly hostname: string
    readonly maxRequestBodySize: number
    readonly fetch: (request: Request) => Promise<Response>
  }) => BunServer
}
const bun = (globalThis as { readonly Bun?: BunRuntime }).Bun

const serveOnBun = (runtime: BunRuntime): (() => Promise<void>) => {
  const server = runtime.serve({
    port: Number(PORT),
    hostname: "127.0.0.1",
    maxRequestBodySize: maxBodyBytes,
    fetch: async (request) => {
      if (request.method !== "POST") return new Response(null, { status: 405 })
      const text = await request.text()
      return new Promise((resolve) =>
        take(text, ({ body, status }) => resolve(new Response(body, { status, headers })))
      )
    }
  })
  return () => server.stop()
}

const handle = (request: IncomingMessage, response: ServerResponse): void => {
  if (request.method !== "POST") return void response.writeHead(405).end()
  const chunks: Array<Buffer> = []
  let bytes = 0
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > maxBodyBytes) request.destroy()
    else chunks.push(chunk)
  })
  request.on("end", () =>
    take(Buffer.concat(chunks).toString(), ({ body, status }) =>
      response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body)
    )
  )
}

const serveOnNode = (): (() => Promise<void>) => {
  const server = createServer(handle).listen(Number(PORT), "127.0.0.1")
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
}

const stopServing = bun === undefined ? serveOnNode() : serveOnBun(bun)

process.on("SIGTERM", () => {
  stopServing()
    .then(() => channel.close())
    .then(() => rabbit.close())
    .then(() => process.exit(0))
})
