/** Whether a container is ready, asked as a kubelet does. */
import * as http from "node:http"
import { Effect } from "effect"
import { realSleep } from "../servers/eventually.ts"
import type { ServerError } from "../servers/ServerError.ts"

export interface ReadinessProbe {
  readonly httpGet: { readonly path: string }
}

/** Asks again and again, and tells of each change; until it is interrupted. */
export const probing = (
  { httpGet: { path } }: ReadinessProbe,
  port: number,
  tell: (ready: boolean) => Effect.Effect<void, ServerError>
): Effect.Effect<never, ServerError> =>
  Effect.gen(function* () {
    let before = false
    while (true) {
      const ready = yield* isReady(port, path)
      if (ready !== before) yield* tell(ready)
      before = ready
      yield* realSleep("200 millis")
    }
  })

const isReady = (port: number, path: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const request = http.get({ host: "127.0.0.1", port, path, agent: false, timeout: 2_000 }, (response) => {
      response.resume()
      resume(Effect.succeed(response.statusCode !== undefined && response.statusCode < 400))
    })
    request.on("timeout", () => request.destroy(new Error("no answer")))
    request.on("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => void request.destroy())
  })
