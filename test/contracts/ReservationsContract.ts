/** What every store of reservations promises. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Duration, Effect, type Layer } from "effect"
import { type Reservation, Reservations, type Reserved } from "../../src/domain/ports/Reservations.ts"
import { eventually } from "../support/servers/eventually.ts"

const soon = { deadline: "30 seconds", every: "5 millis" } as const

const reservation = (fields: Partial<Reservation> = {}): Reservation => ({
  orderId: `order ${randomUUID()}`,
  paymentId: randomUUID(),
  ...fields
})

/** Another payment for the same order. */
const rivalOf = ({ orderId }: Reservation): Reservation => reservation({ orderId })

const outcome = ({ reason, ...reserved }: Reserved & { readonly reason?: string }): string => reason ?? reserved._tag

const reserve = (given: Reservation) => Reservations.use((orders) => Effect.map(orders.reserve(given), outcome))
const confirm = (given: Reservation) => Reservations.use((orders) => Effect.map(orders.confirm(given), outcome))
const unconfirm = (given: Reservation) => Reservations.use((orders) => orders.unconfirm(given))
const release = (given: Reservation) => Reservations.use((orders) => orders.release(given))
const cancel = ({ orderId }: Reservation) => Reservations.use((orders) => orders.cancel(orderId))

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Reservations, unknown>): void =>
  withLayer(layer, { excludeTestServices: true })(`Reservations (${name})`, (it) => {
    it.effect("are held by one payment at a time", () =>
      Effect.gen(function* () {
        const [given] = [reservation()]
        const all = [given, ...Arr.makeBy(19, () => rivalOf(given))]
        const found = yield* Effect.forEach(all, reserve, { concurrency: "unbounded" })
        assert.deepStrictEqual(found.toSorted(), ["Done", ...Arr.makeBy(19, () => "order_taken")])
        const holder = all[found.indexOf("Done")] ?? given
        for (const one of all) assert.strictEqual(yield* confirm(one), one === holder ? "Done" : "order_taken")
      })
    )

    it.effect("change nothing when a call is repeated", () =>
      Effect.gen(function* () {
        const given = reservation()
        const rival = rivalOf(given)
        for (const step of [reserve, confirm])
          assert.deepStrictEqual([yield* step(given), yield* step(given)], ["Done", "Done"])
        yield* Effect.andThen(unconfirm(given), unconfirm(given))
        assert.strictEqual(yield* reserve(given), "Done")
        assert.strictEqual(yield* reserve(rival), "order_taken")
        yield* Effect.andThen(release(given), release(given))
        assert.strictEqual(yield* reserve(rival), "Done")
        yield* Effect.andThen(unconfirm(given), release(given))
        assert.strictEqual(yield* confirm(rival), "Done")
        yield* Effect.andThen(unconfirm(given), release(given))
        assert.strictEqual(yield* reserve(given), "order_taken")
      })
    )

    it.effect("are not taken again for an order that is paid, not even by the payment that has paid it", () =>
      Effect.gen(function* () {
        const given = reservation()
        yield* Effect.andThen(reserve(given), confirm(given))
        assert.deepStrictEqual([yield* reserve(given), yield* reserve(rivalOf(given))], ["order_taken", "order_taken"])
        assert.strictEqual(yield* confirm(given), "Done")
        yield* Effect.andThen(unconfirm(given), release(given))
        assert.deepStrictEqual([yield* reserve(given), yield* reserve(given)], ["Done", "Done"])
      })
    )

    it.effect("are refused for an order that was cancelled, at every step", () =>
      Effect.gen(function* () {
        const [never, held] = [reservation(), reservation()]
        yield* Effect.andThen(cancel(never), cancel(never))
        assert.deepStrictEqual([yield* reserve(never), yield* confirm(never)], ["order_cancelled", "order_cancelled"])
        yield* reserve(held)
        yield* cancel(held)
        assert.strictEqual(yield* confirm(held), "order_cancelled")
        assert.strictEqual(yield* reserve(held), "order_cancelled")
        yield* release(held)
        assert.strictEqual(yield* reserve(rivalOf(held)), "order_cancelled")
      })
    )

    it.effect("stay confirmed when the order is cancelled afterwards, until they are undone", () =>
      Effect.gen(function* () {
        const given = reservation()
        yield* Effect.andThen(reserve(given), confirm(given))
        yield* cancel(given)
        assert.deepStrictEqual([yield* confirm(given), yield* reserve(given)], ["Done", "order_cancelled"])
        assert.strictEqual(yield* reserve(rivalOf(given)), "order_cancelled")
        yield* Effect.andThen(unconfirm(given), release(given))
        assert.deepStrictEqual([yield* reserve(given), yield* confirm(given)], ["order_cancelled", "order_cancelled"])
      })
    )

    it.effect("are forgotten when they are paid or cancelled and old enough, so many at a time, and no others", () =>
      Effect.gen(function* () {
        const { forget } = yield* Reservations
        const [held, paid, cancelled, released] = [reservation(), reservation(), reservation(), reservation()]
        yield* reserve(held)
        yield* eventually(
          Effect.map(forget(Duration.zero, 10_000), (count) => assert.strictEqual(count, 0)),
          soon
        )
        yield* Effect.andThen(reserve(paid), confirm(paid))
        yield* cancel(cancelled)
        yield* Effect.andThen(reserve(released), release(released))
        assert.strictEqual(yield* forget(Duration.hours(1), 10_000), 0)
        const counts: Array<number> = []
        yield* eventually(
          Effect.gen(function* () {
            counts.push(yield* forget(Duration.zero, 1))
            assert.strictEqual(
              counts.reduce((sum, count) => sum + count, 0),
              2
            )
          }),
          soon
        )
        assert.isTrue(counts.every((count) => count <= 1))
        assert.deepStrictEqual([yield* reserve(rivalOf(paid)), yield* reserve(cancelled)], ["Done", "Done"])
        assert.strictEqual(yield* reserve(rivalOf(held)), "order_taken")
        assert.strictEqual(yield* confirm(held), "Done")
      })
    )

    it.effect("are confirmed or cancelled when both come at the same time, never both in the other order", () =>
      Effect.gen(function* () {
        const all = Arr.makeBy(20, () => reservation())
        yield* Effect.forEach(all, reserve, { concurrency: "unbounded" })
        const confirmed = yield* Effect.forEach(
          all,
          (given) => Effect.map(Effect.all([confirm(given), cancel(given)], { concurrency: 2 }), ([first]) => first),
          { concurrency: "unbounded" }
        )
        for (const [index, given] of all.entries()) assert.strictEqual(yield* confirm(given), confirmed[index])
      })
    )
  })
