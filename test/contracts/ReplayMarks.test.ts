/** What is promised of the marks of replayed dead letters, in memory and in PostgreSQL. */
import { randomUUID } from "node:crypto"
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Effect, Layer, type Redacted } from "effect"
import { type RecordPlace, type ReplayMark, ReplayMarks } from "../../src/domain/ports/ReplayMarks.ts"
import * as MemoryReplayMarks from "../../src/layers/memory/MemoryReplayMarks.ts"
import * as Migrations from "../../src/layers/postgres/Migrations.ts"
import * as PostgresReplayMarks from "../../src/layers/postgres/PostgresReplayMarks.ts"
import { newDatabase, query } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"

const inPostgres = (url: Redacted.Redacted) =>
  Layer.provideMerge(PostgresReplayMarks.layer({ address: "test" }), postgresClient(url))

const newTopic = () => `topic-${randomUUID()}`

const place = (fields: Partial<RecordPlace> = {}): RecordPlace => ({
  topic: "orders.dlq",
  partition: 0,
  offset: 0n,
  writtenAtMillis: 1_700_000_000_123,
  ...fields
})

const mark = (fields: Partial<ReplayMark> = {}): ReplayMark => ({
  ...place(fields),
  replay: "r1",
  by: "ada",
  ...fields
})

const find = (...places: ReadonlyArray<RecordPlace>) => ReplayMarks.use((marks) => marks.find(places))
const add = (...all: ReadonlyArray<ReplayMark>) => ReplayMarks.use((marks) => marks.mark(all))

const suite = (name: string, layer: Layer.Layer<ReplayMarks, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Replay marks (${name})`, (it) => {
    it.effect("are found where they were made, and nowhere else", () =>
      Effect.gen(function* () {
        const topic = newTopic()
        yield* add(mark({ topic, offset: 7n }))
        const others = [{ offset: 8n }, { partition: 1 }, { topic: newTopic() }, { writtenAtMillis: 1_700_000_000_124 }]
        const asked = [{}, ...others, {}].map((fields) => place({ topic, offset: 7n, ...fields }))
        assert.deepStrictEqual(yield* find(...asked), [true, false, false, false, false, true])
      })
    )

    it.effect("may be made again, several at once, and none at all", () =>
      Effect.gen(function* () {
        const topic = newTopic()
        const marks = Arr.makeBy(500, (n) => mark({ topic, partition: n % 3, offset: BigInt(n) }))
        yield* Effect.all([add(...marks), add(...[...marks].reverse()), add()], { concurrency: 3 })
        assert.isTrue((yield* find(...marks)).every((found) => found))
        assert.deepStrictEqual(yield* find(), [])
      })
    )

    it.effect("take the largest offset there is", () =>
      Effect.gen(function* () {
        const last = mark({ topic: newTopic(), offset: 2n ** 63n - 1n, partition: 2 ** 31 - 1 })
        yield* add(last)
        assert.deepStrictEqual(yield* find(last, { ...last, offset: last.offset - 1n }), [true, false])
      })
    )

    it.effect("are counted and forgotten below an offset of a partition", () =>
      Effect.gen(function* () {
        const topic = newTopic()
        const marks = Arr.makeBy(6, (n) => mark({ topic, partition: n % 2, offset: BigInt(n) }))
        yield* add(...marks)
        const forget = ReplayMarks.use((all) => all.forget({ topic, partition: 0 }, 4n))
        const count = ReplayMarks.use((all) => all.count({ topic, partition: 0 }, 4n))
        assert.strictEqual(yield* count, 2)
        assert.strictEqual(yield* forget, 2)
        assert.strictEqual(yield* count, 0)
        assert.strictEqual(yield* forget, 0)
        assert.deepStrictEqual(yield* find(...marks), [false, true, false, true, true, true])
      })
    )
  })

suite("memory", MemoryReplayMarks.layer)
const migrated = Layer.unwrap(Effect.map(newDatabase, inPostgres)).pipe(
  Layer.tap((services) => Effect.provide(Migrations.migrate, services))
)

suite("PostgreSQL", migrated)

describe("Replay marks in PostgreSQL", () => {
  it.live("say who asked for it, in which replay, and when; the first of two holds", () =>
    Effect.gen(function* () {
      const url = yield* newDatabase
      yield* Effect.gen(function* () {
        yield* Migrations.migrate
        yield* add(mark())
        yield* add(mark({ replay: "r2", by: "bob" }))
      }).pipe(Effect.provide(inPostgres(url)))
      const rows = yield* query(
        url,
        "SELECT replay_id, replayed_by, now() - replayed_at < interval '1 minute' AS fresh FROM dead_letter_replays"
      )
      assert.deepStrictEqual(rows, [{ replay_id: "r1", replayed_by: "ada", fresh: true }])
    })
  )

  it.live("name the command that makes their table, where it is missing", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(find(place()), inPostgres(yield* newDatabase)))
      assert.strictEqual(error._tag === "StoreError" && error.reason._tag, "StoreOutdated")
      assert.match(error._tag === "StoreError" ? error.message : "", /--mode=migrate/)
    })
  )
})
