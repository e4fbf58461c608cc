import { Effect, Layer, Redacted, Stream } from "effect"
import { Broker } from "../../domain/ports/Broker.ts"
import * as EB from "./EmbeddedBroker.ts"
import * as EP from "./EmbeddedPostgres.ts"

const N = Number(process.argv[3] ?? 50000)
const prog = Effect.gen(function* () {
  const b = yield* Broker
  console.log(b.address, yield* b.status)
  const q = `bench${Date.now()}`
  yield* b.ensureQueue(q)
  const body = Buffer.alloc(200, 65)
  const msg = (i: number) => ({
    queue: q,
    id: `m${i}`,
    body,
    headers: { a: 1, x: "y" },
    contentType: "application/json",
    publishedAtMillis: Date.now()
  })
  let t = Date.now()
  for (let i = 0; i < N; i += 500) yield* b.publish(Array.from({ length: 500 }, (_, j) => msg(i + j)))
  console.log("publish/s", Math.round((N / (Date.now() - t)) * 1000), "depth", yield* b.depth(q))
  t = Date.now()
  const seen = new Set<string>()
  yield* b.deliveries({ _tag: "Queue", name: q }, { prefetch: 1500 }).pipe(
    Stream.take(N),
    Stream.groupedWithin(500, "5 millis"),
    Stream.mapEffect(
      (ds) => {
        for (const d of ds) seen.add(d.id!)
        return b.settle(ds.map((delivery) => ({ delivery, outcome: "done" as const })))
      },
      { concurrency: 2 }
    ),
    Stream.runDrain
  )
  console.log("drain/s", Math.round((N / (Date.now() - t)) * 1000), seen.size, "depth", yield* b.depth(q))
  // latency
  const lat: number[] = []
  let sent = 0
  yield* Effect.gen(function* () {
    for (let i = 0; i < 200; i++) {
      sent = performance.now()
      yield* b.publish([msg(i)])
      yield* Effect.sleep(60 + Math.random() * 50)
    }
  }).pipe(Effect.forkChild)
  yield* b.deliveries({ _tag: "Queue", name: q }, { prefetch: 1500 }).pipe(
    Stream.take(200),
    Stream.runForEach((d) =>
      b
        .settle([{ delivery: d, outcome: "done" }])
        .pipe(Effect.tap(() => Effect.sync(() => lat.push(performance.now() - sent))))
    )
  )
  lat.sort((a, b) => a - b)
  console.log("latency settled p50", lat[100], "p99", lat[197])
})
const t0 = Date.now()
await Effect.runPromise(
  prog.pipe(Effect.provide(EB.layer.pipe(Layer.provide(EP.layer({ dataDirectory: process.argv[2]! })))))
)
console.log("all", Date.now() - t0)
