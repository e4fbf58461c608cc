import { Effect, Stream, Layer } from "effect"
import * as EP from "./EmbeddedPostgres.ts"
import * as EB from "./EmbeddedBroker.ts"
import { Broker } from "../../domain/ports/Broker.ts"
const N = 1_000_000
const prog = Effect.gen(function*() {
  const b = yield* Broker
  const q = `million${Date.now()}`
  yield* b.ensureQueue(q)
  const body = Buffer.alloc(200, 65)
  let t = Date.now()
  for (let i = 0; i < N; i += 500) yield* b.publish(Array.from({ length: 500 }, (_, j) => ({ queue: q, id: `m${i + j}`, body, headers: {}, contentType: "application/json", publishedAtMillis: Date.now() })))
  console.log("publish/s", Math.round(N / (Date.now() - t) * 1000)); t = Date.now()
  console.log("depth", yield* b.depth(q), "ms", Date.now() - t)
  const { default: pg } = yield* Effect.promise(() => import("pg"))
  const { url } = yield* EP.EmbeddedPostgres
  const { Redacted } = yield* Effect.promise(() => import("effect"))
  const c = new pg.Client({ connectionString: Redacted.value(url) }); yield* Effect.promise(() => c.connect())
  const lapsed = `SELECT id FROM paystream_broker.job WHERE name = $1 AND state = 'active' AND heartbeat_on < now() - interval '6 seconds' LIMIT 10000`
  for (let k = 0; k < 4; k++) { t = Date.now(); yield* Effect.promise(() => c.query(lapsed, [q])); console.log("lapsed ms", Date.now() - t) }
  t = Date.now(); let n = 0; let at = t
  yield* b.deliveries({ _tag: "Queue", name: q }, { prefetch: 1500 }).pipe(
    Stream.take(N), Stream.groupedWithin(500, "5 millis"),
    Stream.mapEffect((ds) => { n += ds.length; if (n % 100000 < 500 && Date.now() - at > 1000) { console.log(n, Math.round(n / (Date.now() - t) * 1000), "/s", Math.round(process.memoryUsage().rss / 1e6), "MB"); at = Date.now() } return b.settle(ds.map((delivery) => ({ delivery, outcome: "done" as const }))) }, { concurrency: 2 }), Stream.runDrain)
  console.log("drain/s", Math.round(N / (Date.now() - t) * 1000), "depth", yield* b.depth(q))
  for (let k = 0; k < 3; k++) { t = Date.now(); yield* Effect.promise(() => c.query(lapsed, [q])); console.log("lapsed ms after", Date.now() - t) }
  yield* Effect.promise(() => c.end())
})
await Effect.runPromise(prog.pipe(Effect.provide(EB.layer.pipe(Layer.provideMerge(EP.layer({ dataDirectory: process.argv[2]! }))))))
