/** What every outbox promises, as tests: run with any layer of the port that is empty when it is built. */
import { assert, layer as withLayer } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, type Layer, Stream } from "effect"
import { slotCount } from "../../src/domain/OutboxEvent.ts"
import { Outbox } from "../../src/domain/ports/Outbox.ts"
import {
  allSlots,
  append,
  event,
  fail,
  inEmptyOutbox,
  kill,
  lease,
  numbers,
  options,
  publish,
  relay,
  renewOften,
  rules,
  take,
  takeWaiting
} from "../support/OutboxSteps.ts"
import { eventually } from "../support/servers/eventually.ts"

/** Runs the whole contract. */
export const suite = (name: string, layer: Layer.Layer<Outbox, unknown>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Outbox (${name})`, (it) => {
    const promises = <A, E>(what: string, test: () => Effect.Effect<A, E, Outbox | import("effect").Scope.Scope>) =>
      it.effect(what, () => inEmptyOutbox(test()))

    promises("gives what was appended as it was, with its key, headers and id", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const ids = yield* append(
          event("a", 1, { headers: { version: 1, nested: { deep: [true, null] } }, payload: { n: 1, text: "é😀\n" } }),
          event(undefined, 2, { topic: "other.topic" })
        )
        const found = yield* take(id)
        const [first, second] = ids.map((own) => found.find((one) => one.id === own))
        assert.deepStrictEqual(JSON.parse(first?.payload ?? ""), { n: 1, text: "é😀\n" })
        assert.deepStrictEqual(first?.headers, { version: 1, nested: { deep: [true, null] } })
        assert.strictEqual(first?.key, "a")
        assert.strictEqual(first?.attempts, 0)
        assert.isAtLeast(first?.ageMillis ?? -1, 0)
        assert.strictEqual(second?.topic, "other.topic")
        assert.isUndefined(second?.key)
        assert.deepStrictEqual(second?.headers, {})
        assert.match(ids[0] ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      })
    )

    promises("gives nothing of a transaction that failed, and nothing of one that is open", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        yield* Effect.ignore(outbox.transaction(Effect.andThen(outbox.append(event("a", 1)), Effect.fail("no"))))
        const appended = yield* Deferred.make<void>()
        const go = yield* Deferred.make<void>()
        const open = yield* Effect.forkScoped(
          outbox.transaction(
            outbox
              .append(event("a", 2))
              .pipe(Effect.andThen(Deferred.succeed(appended, undefined)), Effect.andThen(Deferred.await(go)))
          )
        )
        yield* Deferred.await(appended)
        yield* renewOften(id)
        yield* append(event("b", 3), event("a", 4))
        // What came later and was committed earlier is not held up, not even of the same key.
        assert.deepStrictEqual(numbers(yield* take(id)).sort(), [3, 4])
        yield* publish(yield* take(id))
        for (let n = 0; n < 5; n++) {
          yield* append(event("a", 10 + n), event("b", 20 + n))
          yield* publish(yield* take(id))
          yield* renewOften(id)
        }
        assert.deepStrictEqual(yield* take(id), [])
        yield* Deferred.succeed(go, undefined)
        yield* Fiber.join(open)
        // What was committed late is not passed over, though a larger number was published long ago.
        assert.deepStrictEqual(numbers(yield* take(id)), [2])
      })
    )

    promises("keeps a key's order, within a transaction and across them", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(...[1, 2, 3].map((n) => event("a", n)))
        for (let n = 4; n <= 20; n++) yield* append(event("a", n), event(`b-${n}`, 100 + n))
        const own = (yield* take(id)).filter(({ key }) => key === "a")
        assert.deepStrictEqual(
          numbers(own),
          Array.from({ length: 20 }, (_, index) => index + 1)
        )
      })
    )

    promises("gives a slot's first events where a limit leaves some out, and says so", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        yield* append(...Array.from({ length: 10 }, (_, n) => event("a", n)))
        const taken = yield* outbox.take(options(id, { limitPerSlot: 4 }))
        assert.deepStrictEqual(numbers(taken.events), [0, 1, 2, 3])
        assert.isTrue(taken.isFull)
        assert.deepStrictEqual(numbers(yield* take(id, { limit: 3 })), [0, 1, 2])
        assert.isFalse((yield* outbox.take(options(id))).isFull)
      })
    )

    promises("takes back nothing that is published", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(event("a", 1), event("a", 2))
        const found = yield* take(id)
        yield* publish(found.slice(0, 1))
        assert.deepStrictEqual(numbers(yield* take(id)), [2])
        yield* fail(id, found.slice(0, 1))
        assert.deepStrictEqual(yield* takeWaiting(id), [])
      })
    )

    promises("holds back a key behind its failing event, and no other key", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        yield* append(event("a", 1), event("a", 2), event("b", 3))
        const [first] = (yield* take(id)).filter(({ key }) => key === "a")
        assert.isDefined(first)
        yield* fail(id, [first], "1 hour")
        yield* append(event("a", 4))
        assert.deepStrictEqual(numbers(yield* take(id)), [3])
        assert.deepStrictEqual(yield* takeWaiting(id), [])
        const { dueInMillis } = yield* outbox.takeWaiting(options(id))
        assert.isAbove(dueInMillis ?? 0, 3_500_000)
        const stats = yield* outbox.stats(rules)
        assert.deepStrictEqual([stats.pending, stats.failing, stats.held, stats.dead], [1, 1, 2, 0])
      })
    )

    promises("gives a failed event again when it is due, in front of all that waits behind it", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(event("a", 1), event("a", 2))
        yield* fail(id, (yield* take(id)).slice(0, 1))
        assert.deepStrictEqual(numbers(yield* take(id)), [])
        const again = yield* takeWaiting(id)
        assert.deepStrictEqual(numbers(again), [1, 2])
        assert.deepStrictEqual(
          again.map(({ attempts }) => attempts),
          [1, 0]
        )
        yield* publish(again.slice(0, 1))
        yield* append(event("a", 3))
        assert.deepStrictEqual(numbers(yield* take(id)), [])
        assert.deepStrictEqual(numbers(yield* takeWaiting(id)), [2, 3])
      })
    )

    promises("counts an attempt once, though two say so", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(event("a", 1))
        const found = yield* take(id)
        yield* Effect.andThen(fail(id, found), fail(id, found))
        assert.deepStrictEqual(
          (yield* takeWaiting(id)).map(({ attempts }) => attempts),
          [1]
        )
      })
    )

    promises("holds back a key behind its dead event until it is brought back", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        yield* append(event("a", 1), event("a", 2), event("b", 3))
        const dead = yield* kill(id)
        assert.deepStrictEqual(numbers(yield* take(id)), [3])
        assert.deepStrictEqual(yield* takeWaiting(id), [])
        const [listed] = yield* outbox.list(rules, { onlyDead: true, limit: 10 })
        assert.deepStrictEqual([listed?.id, listed?.state, listed?.lastError], [dead.id, "dead", "refused"])
        assert.deepStrictEqual(yield* outbox.retry([dead.id], rules), [dead.id])
        assert.deepStrictEqual(numbers(yield* takeWaiting(id)), [1, 2])
      })
    )

    promises("lets a key go on without its dead event when it is skipped, or where the rules say so", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        yield* append(event("a", 1), event("a", 2))
        const dead = yield* kill(id)
        yield* take(id)
        assert.deepStrictEqual(numbers(yield* takeWaiting(id, { rules: { ...rules, dead: "skip" } })), [2])
        assert.deepStrictEqual(yield* outbox.skip([dead.id], rules), [dead.id])
        assert.deepStrictEqual(numbers(yield* takeWaiting(id)), [2])
        yield* append(event("a", 3))
        assert.deepStrictEqual(numbers(yield* takeWaiting(id)), [2])
        yield* publish(yield* takeWaiting(id))
        // Held behind the second, which is published by now.
        assert.deepStrictEqual(numbers([...(yield* take(id)), ...(yield* takeWaiting(id))]), [3])
        assert.strictEqual((yield* outbox.stats(rules)).skipped, 1)
      })
    )

    promises("gives a dead event again where more attempts are allowed, and what waits behind it", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(event("a", 1), event("a", 2))
        yield* kill(id)
        yield* take(id)
        assert.deepStrictEqual(yield* takeWaiting(id), [])
        const more = { ...rules, maxAttempts: rules.maxAttempts + 1 }
        yield* eventually(
          Effect.map(takeWaiting(id, { rules: more }), (found) => assert.deepStrictEqual(numbers(found), [1, 2])),
          { deadline: "30 seconds" }
        )
      })
    )

    promises("skips only what is dead", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        const [own = ""] = yield* append(event("a", 1))
        assert.deepStrictEqual(yield* outbox.skip([own], rules), [])
        yield* fail(id, yield* take(id))
        assert.deepStrictEqual(yield* outbox.skip([own], rules), [])
        assert.deepStrictEqual(yield* outbox.retry("all", rules), [own])
      })
    )

    promises("finds a few due events among a thousand keys whose events are dead", () =>
      Effect.gen(function* () {
        const id = yield* relay
        yield* append(...Array.from({ length: 1100 }, (_, n) => event(`dead-${n}`, n)))
        const all = yield* take(id, { limit: 2000 })
        assert.strictEqual(all.length, 1100)
        for (const attempts of [0, 1, 2])
          yield* fail(
            id,
            all.map((one) => ({ ...one, attempts }))
          )
        yield* append(event("zzz", 5000), event("aaa", 5001))
        yield* fail(id, yield* take(id))
        const found = [...(yield* takeWaiting(id)), ...(yield* takeWaiting(id))]
        assert.sameMembers([...new Set(numbers(found))], [5000, 5001])
      })
    )

    promises("gives a slot to one relay at a time, and its events to no other", () =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const [one, other] = [yield* outbox.enrol(lease), yield* outbox.enrol(lease)]
        const half = allSlots.slice(0, slotCount / 2)
        assert.sameMembers([...(yield* outbox.acquire(one, half))], half)
        const rest = yield* outbox.acquire(other, allSlots)
        assert.sameMembers([...rest], allSlots.slice(slotCount / 2))
        yield* append(...Array.from({ length: 200 }, (_, n) => event(`key-${n}`, n)))
        const [mine, theirs] = [yield* take(one), yield* take(other)]
        assert.isTrue(mine.every(({ slot }) => half.includes(slot)))
        assert.sameMembers(
          numbers([...mine, ...theirs]),
          Array.from({ length: 200 }, (_, n) => n)
        )
        assert.deepStrictEqual((yield* outbox.renew(one, lease))?.relays, 2)
        // Whoever does not own the slot counts no attempt.
        yield* fail(one, theirs.slice(0, 1))
        assert.deepStrictEqual(yield* takeWaiting(other), [])
        yield* outbox.release(one, half)
        assert.deepStrictEqual(yield* take(one), [])
        assert.sameMembers([...(yield* outbox.acquire(other, half))], half)
        yield* Effect.andThen(outbox.leave(one), outbox.leave(other))
      })
    )

    promises("strikes off a relay whose lease is over, for good", () =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const frozen = yield* outbox.enrol(Duration.millis(30))
        yield* outbox.acquire(frozen, allSlots)
        const other = yield* outbox.enrol(lease)
        const roster = yield* eventually(
          Effect.tap(outbox.renew(other, lease), (found) =>
            Effect.sync(() => assert.strictEqual(found?.free.length, slotCount))
          ),
          { deadline: "30 seconds" }
        )
        assert.strictEqual(roster?.relays, 1)
        assert.strictEqual((yield* outbox.acquire(other, allSlots)).length, slotCount)
        yield* append(event("a", 1))
        assert.deepStrictEqual(yield* take(frozen), [])
        assert.isUndefined(yield* outbox.renew(frozen, lease))
        assert.deepStrictEqual(yield* outbox.acquire(other, allSlots), [])
        yield* outbox.leave(other)
      })
    )

    promises("says that something was committed", () =>
      Effect.gen(function* () {
        const outbox = yield* Outbox
        const hint = yield* Effect.forkScoped(Stream.runHead(outbox.hints), { startImmediately: true })
        // Whether it listens already shows only in that it hears.
        yield* eventually(
          Effect.andThen(
            append(event("a", 1)),
            Effect.sync(() => assert.isDefined(hint.pollUnsafe()))
          ),
          { deadline: "30 seconds" }
        )
      })
    )

    promises("removes what was published long enough ago, so many at a time", () =>
      Effect.gen(function* () {
        const id = yield* relay
        const outbox = yield* Outbox
        while ((yield* outbox.removePublished(Duration.zero, 1000)) > 0) {
          // what earlier tests have left
        }
        yield* append(...Array.from({ length: 5 }, (_, n) => event("a", n)))
        yield* publish((yield* take(id)).slice(0, 4))
        assert.strictEqual(yield* outbox.removePublished(Duration.hours(1), 10), 0)
        const counts = yield* eventually(
          Effect.gen(function* () {
            const removed = [
              yield* outbox.removePublished(Duration.zero, 3),
              yield* outbox.removePublished(Duration.zero, 3)
            ]
            assert.strictEqual(removed[0], 3)
            return removed
          }),
          { deadline: "30 seconds" }
        )
        assert.deepStrictEqual(counts, [3, 1])
        assert.deepStrictEqual(numbers(yield* take(id)), [4])
      })
    )
  })
