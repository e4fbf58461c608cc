import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { healthPage, readinessPage } from "../../../src/layers/http/HealthServer.ts"
import { type StreamState, Supervisor } from "../../../src/streams/Supervisor.ts"

/** The status of a page while two streams are in these states. */
const statusOf = (page: typeof healthPage, first: StreamState, second: StreamState) =>
  Effect.gen(function* () {
    const supervisor = yield* Supervisor
    yield* supervisor.report("first", first)
    yield* supervisor.report("second", second)
    return (yield* page).status
  }).pipe(Effect.provide(Supervisor.layer))

const alive: ReadonlyArray<StreamState> = ["starting", "running", "restarting", "failing", "done"]

describe("/healthz", () => {
  for (const state of alive)
    it.effect(`is 200 while a stream is ${state}`, () =>
      Effect.map(statusOf(healthPage, "running", state), (status) => assert.strictEqual(status, 200))
    )

  for (const other of alive)
    it.effect(`is 503 once supervision has given up a stream, though another is ${other}`, () =>
      Effect.map(statusOf(healthPage, "failed", other), (status) => assert.strictEqual(status, 503))
    )

  it.effect("is 200 while a service is away, of which /readyz tells", () =>
    Effect.gen(function* () {
      const away = readinessPage([{ name: "broker", isReady: Effect.succeed(false) }])
      assert.strictEqual(yield* statusOf(away, "running", "running"), 503)
      assert.strictEqual(yield* statusOf(healthPage, "running", "running"), 200)
    })
  )
})
