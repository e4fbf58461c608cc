/** What every implementation of the port promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import { type Claim, type ClaimRequest, type Held, IdempotencyKeys } from "../../src/domain/ports/IdempotencyKeys.ts"
import { eventually } from "../support/servers/eventually.ts"

const request = (fields: Partial<ClaimRequest> = {}): ClaimRequest => ({
  scope: "payments",
  key: randomUUID(),
  fingerprint: "first",
  lease: Duration.minutes(1),
  retention: Duration.hours(24),
  ...fields
})

const claim = (given: ClaimRequest) => IdempotencyKeys.use((keys) => keys.claim(given))
const complete = (held: Held, answer: string) => IdempotencyKeys.use((keys) => keys.complete(held, answer))
const release = (held: Held) => IdempotencyKeys.use((keys) => keys.release(held))

const heldBy = (found: Claim): Held => {
  assert.strictEqual(found._tag, "Claimed")
  return (found as Extract<Claim, { _tag: "Claimed" }>).held
}
const claimed = (given: ClaimRequest) => Effect.map(claim(given), heldBy)
const tagOf = (given: ClaimRequest) => Effect.map(claim(given), ({ _tag }) => _tag)

const soon = { deadline: "30 seconds", every: "5 millis" } as const

/** Runs the whole contract; some stores remove what has expired by themselves, and leave nothing to be removed. */
export const suite = <E>(
  name: string,
  implementation: Layer.Layer<IdempotencyKeys, E>,
  { removesByItself = false } = {}
) =>
  layer(implementation, { excludeTestServices: true })(`Idempotency keys (${name})`, (it) => {
    it.effect("let one of fifty claims at the same time through", () =>
      Effect.gen(function* () {
        const given = request()
        const found = yield* Effect.forEach(Array.from({ length: 50 }), () => claim(given), { concurrency: 50 })
        assert.deepStrictEqual(
          Object.fromEntries(
            Map.groupBy(found, ({ _tag }) => _tag)
              .entries()
              .map(([tag, all]) => [tag, all.length])
          ),
          {
            Claimed: 1,
            UnderWay: 49
          }
        )
      })
    )

    it.effect("give the answer to who asks again, for as long as the key is kept", () =>
      Effect.gen(function* () {
        const given = request()
        assert.isTrue(yield* complete(yield* claimed(given), '{"n":1}'))
        assert.deepStrictEqual(yield* claim(given), { _tag: "Completed", answer: '{"n":1}' })
        assert.deepStrictEqual(yield* claim(given), { _tag: "Completed", answer: '{"n":1}' })
      })
    )

    it.effect("belong to one request: under way, answered or given back, another is told so", () =>
      Effect.gen(function* () {
        const given = request()
        const other = { ...given, fingerprint: "other" }
        const held = yield* claimed(given)
        assert.strictEqual(yield* tagOf(other), "OtherRequest")
        yield* release(held)
        assert.strictEqual(yield* tagOf(other), "OtherRequest")
        yield* complete(yield* claimed(given), "done")
        assert.strictEqual(yield* tagOf(other), "OtherRequest")
      })
    )

    it.effect("mean something in their scope only", () =>
      Effect.gen(function* () {
        const given = request()
        yield* claimed(given)
        yield* claimed({ ...given, scope: "refunds" })
        yield* claimed({ ...given, scope: `${given.scope}${given.key.slice(0, 1)}`, key: given.key.slice(1) })
      })
    )

    it.effect("can be claimed again at once after they were given back", () =>
      Effect.gen(function* () {
        const given = request()
        const first = yield* claimed(given)
        yield* release(first)
        const second = yield* claimed(given)
        assert.isTrue(second.token > first.token)
      })
    )

    it.effect("outlive a claimant that died, who is fenced off if it comes back", () =>
      Effect.gen(function* () {
        const given = request({ lease: Duration.millis(50) })
        const dead = yield* claimed(given)
        const next = yield* eventually(claimed({ ...given, lease: Duration.minutes(1) }), soon)
        assert.isTrue(next.token > dead.token)
        assert.isFalse(yield* complete(dead, "late"))
        yield* release(dead)
        assert.strictEqual(yield* tagOf(given), "UnderWay")
        assert.isTrue(yield* complete(next, "in time"))
        assert.deepStrictEqual(yield* claim(given), { _tag: "Completed", answer: "in time" })
      })
    )

    it.effect("go to one of many when a lease is over", () =>
      Effect.gen(function* () {
        const given = request({ lease: Duration.millis(1) })
        yield* claimed(given)
        yield* eventually(
          Effect.gen(function* () {
            const again = { ...given, lease: Duration.minutes(1) }
            const found = yield* Effect.forEach(Array.from({ length: 20 }), () => tagOf(again), { concurrency: 20 })
            assert.strictEqual(found.filter((tag) => tag === "Claimed").length, 1)
          }),
          soon
        )
      })
    )

    it.effect("say how long somebody is at it at most", () =>
      Effect.gen(function* () {
        const given = request()
        yield* claimed(given)
        const found = yield* claim(given)
        assert.strictEqual(found._tag, "UnderWay")
        const left = found._tag === "UnderWay" ? Duration.toMillis(found.leaseLeft) : 0
        assert.isTrue(left > 50_000 && left <= 60_000, `${left}`)
      })
    )

    it.effect("keep the first answer", () =>
      Effect.gen(function* () {
        const given = request()
        const held = yield* claimed(given)
        assert.isTrue(yield* complete(held, "first"))
        assert.isFalse(yield* complete(held, "second"))
        yield* release(held)
        assert.deepStrictEqual(yield* claim(given), { _tag: "Completed", answer: "first" })
      })
    )

    it.effect("are free for anything once they have expired, answered or not", () =>
      Effect.gen(function* () {
        const answered = request({ retention: Duration.millis(20) })
        const underWay = request({ retention: Duration.millis(20) })
        yield* complete(yield* claimed(answered), "old")
        const old = yield* claimed(underWay)
        for (const given of [answered, underWay]) {
          yield* eventually(claimed({ ...given, fingerprint: "another", retention: Duration.hours(1) }), soon)
        }
        assert.isFalse(yield* complete(old, "late"))
      })
    )

    it.effect("are removed when they have expired, so many at a time, and no others", () =>
      Effect.gen(function* () {
        const kept = request()
        yield* complete(yield* claimed(kept), "kept")
        const scope = randomUUID()
        yield* Effect.forEach(Array.from({ length: 5 }), () =>
          claimed(request({ scope, retention: Duration.millis(1) }))
        )
        const removed: Array<number> = []
        yield* eventually(
          IdempotencyKeys.use((keys) => keys.removeExpired(2)).pipe(
            Effect.tap((count) => Effect.sync(() => void removed.push(count))),
            Effect.tap(() =>
              Effect.sync(() =>
                assert.isAtLeast(
                  removed.reduce((sum, count) => sum + count, 0),
                  removesByItself ? 0 : 5
                )
              )
            )
          ),
          soon
        )
        assert.isTrue(removed.every((count) => count <= 2))
        assert.strictEqual(yield* tagOf(kept), "Completed")
      })
    )
  })
