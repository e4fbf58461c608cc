/** The HTTP API as a process, and a client that sees answers as they are. */
import { randomUUID } from "node:crypto"
import { assert } from "@effect/vitest"
import { connect } from "amqplib"
import { Effect } from "effect"
import * as Stage from "./Stage.ts"
import { eventually } from "./servers/eventually.ts"
import { freePort } from "./servers/freePort.ts"
import * as Program from "./servers/Program.ts"

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** A request; a body is sent as it is. */
export const ask = (url: string, init: RequestInit = {}): Effect.Effect<Answer> =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { signal, ...init })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

/** Posts a text. */
export const post = (url: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
  ask(url, { method: "POST", body, headers: { "content-type": "application/json", ...headers } })

/** A request for a payment, as text. */
export const request = (transactionId: string = randomUUID(), amount = "12.34") =>
  `{"topic":"pix.payment.requested","value":{"transactionId":"${transactionId}","amount":${amount},"payer":"Ana","receiver":"Bruno"}}`

export interface ApiOptions {
  readonly runtime: Program.Runtime
  readonly env?: Readonly<Record<string, string>>
  /** Does not wait until it is ready. */
  readonly isAway?: boolean
}

/** Starts the API where its environment says, and waits until it is ready. */
export const startAt = ({ env, isAway, runtime }: ApiOptions) =>
  Effect.gen(function* () {
    const port = yield* freePort
    const url = `http://127.0.0.1:${port}`
    const child = yield* Program.start({
      runtime,
      args: ["--mode=api"],
      env: { PORT: `${port}`, API_HOST: "127.0.0.1", ...env }
    })
    yield* waitFor(`${url}/${isAway ? "healthz" : "readyz"}`)
    return { url, child }
  })

/** Starts the API on a stage, for its RabbitMQ alone, and waits until it is ready. */
export const start = (stage: Stage.Stage, options: ApiOptions) =>
  startAt({ ...options, env: { ...Stage.environmentOf(stage), API_BROKERS: "rabbitmq", ...options.env } })

const waitFor = (url: string) =>
  eventually(
    Effect.tryPromise(async () => {
      const response = await fetch(url)
      assert.strictEqual(response.status, 200, await response.text())
    }),
    { deadline: "60 seconds", every: "50 millis" }
  )

/** An exchange of its own, with a queue that keeps all that is published there. */
export const exchange = (brokerUrl: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const name = `test-${randomUUID()}`
      const connection = await connect(brokerUrl)
      const channel = await connection.createChannel()
      await channel.assertExchange(name, "topic", { durable: true })
      await channel.assertQueue(name, { durable: true })
      await channel.bindQueue(name, name, "#")
      await connection.close()
      return { name, queue: name }
    }),
    ({ name }) =>
      Effect.promise(async () => {
        const connection = await connect(brokerUrl)
        const channel = await connection.createChannel()
        await channel.deleteExchange(name)
        await channel.deleteQueue(name)
        await connection.close()
      })
  )
