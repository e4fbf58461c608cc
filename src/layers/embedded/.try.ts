import { Effect, Redacted } from "effect"
import * as EP from "/work/main/src/layers/embedded/EmbeddedPostgres.ts"
const t0 = Date.now()
const p = Effect.scoped(Effect.gen(function*() {
  const s = yield* EP.start({ dataDirectory: process.argv[2]! })
  console.log(Date.now() - t0, "ms", s.port, Redacted.value(s.url), String(s.url))
  yield* Effect.sleep(Number(process.argv[3] ?? 100))
  console.log("closing", Date.now() - t0)
}))
await Effect.runPromise(p).catch((e) => console.log("ERR", e.message))
console.log("closed", Date.now() - t0)
