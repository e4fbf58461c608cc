/** Requests to an API server that the product never makes: what a scheduler and a kubelet ask of it. */
import * as https from "node:https"
import { Effect } from "effect"
import type { KubernetesAddress } from "../servers/Kubernetes.ts"
import { adminTls } from "../servers/KubernetesCertificates.ts"
import { ServerError } from "../servers/ServerError.ts"

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE"
  readonly path: string
  readonly body?: unknown
}

export interface ApiAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Makes requests as the administrator; whatever is answered is an answer. */
export const make = ({ folder, port }: Pick<KubernetesAddress, "folder" | "port">) =>
  Effect.gen(function* () {
    const tls = yield* adminTls(folder)
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new https.Agent({ ...tls, keepAlive: true, maxSockets: 20 })),
      (agent) => Effect.sync(() => agent.destroy())
    )
    return ({ body, method, path }: ApiRequest): Effect.Effect<ApiAnswer, ServerError> =>
      Effect.callback((resume) => {
        const fail = (cause: unknown) =>
          resume(new ServerError({ message: `the API server: ${method} ${path}: ${cause}`, cause }))
        const text = body === undefined ? "" : JSON.stringify(body)
        // Node frames the body of a DELETE only when it is told its length
        const headers = { "content-type": contentTypeOf(method), "content-length": Buffer.byteLength(text) }
        const request = https.request(
          { ...tls, agent, host: "127.0.0.1", port, path, method, headers },
          async (response) => {
            try {
              const chunks: Array<Buffer> = []
              for await (const chunk of response) chunks.push(chunk)
              resume(
                Effect.succeed({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString()) })
              )
            } catch (cause) {
              fail(cause)
            }
          }
        )
        request.on("error", fail)
        request.end(text)
        return Effect.sync(() => void request.destroy())
      })
  })

export type Ask = Effect.Success<ReturnType<typeof make>>

// the one kind of patch that knows that conditions are a map by their type
const contentTypeOf = (method: ApiRequest["method"]): string =>
  method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json"
