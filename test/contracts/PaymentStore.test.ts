/** Every payment store passes the contract, and the one in memory judges as PostgreSQL does. */
import { PgClient } from "@effect/sql-pg"
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { PaymentStore, type ReceivedPayment } from "../../src/domain/ports/PaymentStore.ts"
import * as MemoryPaymentStore from "../../src/layers/memory/MemoryPaymentStore.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import { newQueue, payment, type RowsOf, suite } from "./PaymentStoreContract.ts"

const prepared = (options?: { readonly prepare: boolean }) =>
  Layer.unwrap(Effect.map(newDatabase, (url) => postgresPaymentStore(url, options))).pipe(
    Layer.tap((services) => Context.get(services, PaymentStore).prepare)
  )

const rowsInMemory: RowsOf<MemoryPaymentStore.StoredPayments> = (queue) =>
  Effect.flatMap(MemoryPaymentStore.StoredPayments, ({ all }) =>
    Effect.map(all, (rows) => rows.filter((row) => row.queue === queue).map(({ id, payload }) => ({ id, payload })))
  )

const rowsInPostgres: RowsOf<PgClient.PgClient> = (queue) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const rows = yield* sql<{ id: string | null; payload: string }>`
      SELECT message_id AS id, payload::text AS payload FROM payments WHERE source_queue = ${queue} ORDER BY payments.id`
    return rows.map(({ id, payload }): ReceivedPayment => ({ id: id ?? undefined, payload }))
  }).pipe(Effect.orDie)

suite("memory", MemoryPaymentStore.layer, rowsInMemory)
suite("PostgreSQL", prepared(), rowsInPostgres)
suite("PostgreSQL without prepared statements", prepared({ prepare: false }), rowsInPostgres)

const Digits = Schema.String.check(Schema.isPattern(/^[0-9]{1,4}$/))
const Exponent = Schema.Literals([
  "",
  "e0",
  "e1",
  "E+2",
  "e-1",
  "e-3",
  "e131068",
  "e131071",
  "e131072",
  "e-16380",
  "e-16383",
  "e-16384",
  "e1073741823"
])
const JsonNumber = Schema.Struct({
  sign: Schema.Literals(["", "-"]),
  whole: Digits,
  fraction: Schema.UndefinedOr(Digits),
  exponent: Exponent
})

const numberText = ({ sign, whole, fraction, exponent }: typeof JsonNumber.Type): string =>
  `${sign}${whole.replace(/^0+(?=.)/, "")}${fraction === undefined ? "" : `.${fraction}`}${exponent}`

const Text = Schema.Literals(["a", "\\u0061", "\\u0000", "\\ud83d", "\\ude00", "\\\\", "\\n", '\\"', "😀", "\\\\u0000"])
const stringText = (parts: ReadonlyArray<string>): string => `"${parts.join("")}"`

const Scalar = Schema.Union([JsonNumber, Schema.Array(Text).check(Schema.isMaxLength(4))])
const scalarText = (scalar: typeof Scalar.Type): string => ("sign" in scalar ? numberText(scalar) : stringText(scalar))

const Json = Schema.Struct({
  keys: Schema.Array(Text).check(Schema.isMaxLength(3)),
  values: Schema.Array(Scalar).check(Schema.isMinLength(1), Schema.isMaxLength(3))
})
const jsonText = ({ keys, values }: typeof Json.Type): string =>
  keys.length === 0
    ? `[${values.map(scalarText).join(", ")}]`
    : `{${keys.map((key, index) => `"${key}": ${scalarText(values[index % values.length] as typeof Scalar.Type)}`).join(",")}}`

layer(Layer.mergeAll(prepared()), { excludeTestServices: true, timeout: "60 seconds" })("The store in memory", (it) => {
  it.effect.prop(
    "tells what PostgreSQL tells, for any JSON",
    {
      pairs: Schema.Array(Schema.Tuple([Json, Json])).check(Schema.isMinLength(1), Schema.isMaxLength(50)),
      numbers: Schema.Array(Schema.Tuple([JsonNumber, JsonNumber])).check(Schema.isMaxLength(50))
    },
    ({ pairs, numbers }) =>
      Effect.gen(function* () {
        const texts = [...pairs.map((pair) => pair.map(jsonText)), ...numbers.map((pair) => pair.map(numberText))]
        const batch = texts.flatMap((both, index) => both.map((text) => payment(text, String(index))))
        const queue = newQueue()
        const memory = Context.get(yield* Layer.build(MemoryPaymentStore.layer), PaymentStore)
        const expected = yield* (yield* PaymentStore).store(queue, batch)
        const outcomes = yield* memory.store(queue, batch)
        const short = (all: typeof expected) =>
          all.map((one, index) => [batch[index]?.payload, one._tag, "sqlState" in one && one.sqlState])
        assert.deepStrictEqual(short(outcomes), short(expected))
      }),
    { arbitrary: { runs: 20, size: 50 } }
  )
})
