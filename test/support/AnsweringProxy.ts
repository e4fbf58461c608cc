/** Stands between a client and an API server, and answers in its place where a test wants it to. */
import { readFile } from "node:fs/promises"
import type { IncomingMessage, ServerResponse } from "node:http"
import * as https from "node:https"
import { join } from "node:path"
import { Effect, type Scope } from "effect"
import { kubeconfigAt } from "./Clusters.ts"
import type { KubernetesAddress } from "./servers/Kubernetes.ts"
import { adminTls } from "./servers/KubernetesCertificates.ts"
import { ServerError } from "./servers/ServerError.ts"

export interface ProxiedRequest {
  readonly method: string
  /** With its query. */
  readonly path: string
  /** When it came, in milliseconds of a clock that nobody sets. */
  readonly at: number
}

/** What becomes of a request. */
export type Fate =
  | { readonly _tag: "Pass" }
  /** It has its effect, and the connection is cut in place of an answer. */
  | { readonly _tag: "Lose" }
  /** It has no effect. */
  | {
      readonly _tag: "Answer"
      readonly status: number
      readonly headers?: Record<string, string>
      readonly body: string
    }

export const pass: Fate = { _tag: "Pass" }
export const lose: Fate = { _tag: "Lose" }

/** An error, as an API server says it. */
export const refusal = (code: number, reason: string, headers: Record<string, string> = {}): Fate => ({
  _tag: "Answer",
  status: code,
  headers,
  body: JSON.stringify({
    kind: "Status",
    apiVersion: "v1",
    status: "Failure",
    reason,
    code,
    message: `${reason}, says a test`
  })
})

export interface AnsweringProxy {
  /** The administrator's, through it. */
  readonly kubeconfig: string
  /** What it was asked, in order. */
  readonly requests: ReadonlyArray<ProxiedRequest>
  /** Says what becomes of each request from now on. */
  readonly decide: (fate: (request: ProxiedRequest) => Fate) => Effect.Effect<void>
}

/** On a free port, closed with the scope; everything passes at first. */
export const start = (address: KubernetesAddress): Effect.Effect<AnsweringProxy, ServerError, Scope.Scope> =>
  Effect.gen(function* () {
    const tls = yield* adminTls(address.folder)
    const requests: Array<ProxiedRequest> = []
    let fateOf: (request: ProxiedRequest) => Fate = () => pass
    const options = yield* serverTls(address.folder)
    const server = https.createServer(options, (request, response) => {
      const asked = { method: request.method ?? "", path: request.url ?? "", at: performance.now() }
      requests.push(asked)
      const fate = fateOf(asked)
      if (fate._tag === "Answer") answer(fate, response)
      else forward({ ...tls, host: "127.0.0.1", port: address.port }, request, response, fate._tag === "Lose")
    })
    const port = yield* Effect.acquireRelease(listen(server), () => close(server))
    const decide = (fate: typeof fateOf) =>
      Effect.sync(() => {
        fateOf = fate
      })
    return { kubeconfig: yield* kubeconfigAt(address, port), requests, decide }
  })

const answer = ({ body, headers, status }: Extract<Fate, { _tag: "Answer" }>, response: ServerResponse): void => {
  response.writeHead(status, { "content-type": "application/json", ...headers })
  response.end(body)
}

const forward = (
  target: https.RequestOptions,
  request: IncomingMessage,
  response: ServerResponse,
  losesAnswer: boolean
): void => {
  const { headers, method, url } = request
  const onward = https.request({ ...target, headers, method, path: url }, (answered) => {
    if (losesAnswer) {
      answered.resume()
      answered.on("end", () => void response.destroy())
      return
    }
    response.writeHead(answered.statusCode ?? 502, answered.headers)
    answered.pipe(response)
    answered.on("error", () => void response.destroy())
  })
  onward.on("error", () => void response.destroy())
  response.on("close", () => void onward.destroy())
  request.pipe(onward)
}

const promised = <A>(evaluate: () => Promise<A>): Effect.Effect<A, ServerError> =>
  Effect.tryPromise({ try: evaluate, catch: (cause) => new ServerError({ message: "the proxy has no files", cause }) })

/** As the API server shows itself. */
const serverTls = (folder: string) =>
  promised(async () => {
    const [cert, key] = await Promise.all(["server.crt", "server.key"].map((name) => readFile(join(folder, name))))
    return { cert, key }
  })

const listen = (server: https.Server): Effect.Effect<number, ServerError> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => resume(new ServerError({ message: "the proxy cannot listen", cause })))
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
    })
  })

const close = (server: https.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
