/** A process that uses the embedded PostgreSQL of a folder, says its port, and stays. */
import { Effect } from "effect"
import * as EmbeddedPostgres from "../../../src/layers/embedded/EmbeddedPostgres.ts"

const held = EmbeddedPostgres.start({ dataDirectory: process.argv[2] ?? "" }).pipe(
  Effect.tap(({ port }) => Effect.sync(() => console.log(`port ${port}`))),
  Effect.andThen(Effect.never),
  Effect.scoped
)

const controller = new AbortController()
process.once("SIGTERM", () => controller.abort())
await Effect.runPromiseExit(held, { signal: controller.signal })
console.log("stopped")
