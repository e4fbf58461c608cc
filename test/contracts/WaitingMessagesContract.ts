/** What every store of waiting messages promises, as tests: run with any layer of the port. */
import { randomUUID } from "node:crypto"
import { assert, layer as withLayer } from "@effect/vitest"
import { Array as Arr, Duration, Effect, type Layer, Schema } from "effect"
import { type WaitingHead, WaitingMessages } from "../../src/domain/ports/WaitingMessages.ts"
import { bytes, text } from "../support/Messages.ts"
import { eventually } from "../support/servers/eventually.ts"
import { content } from "../support/TopicSteps.ts"

const newGroup = Effect.sync(() => `group ${randomUUID()}`)

const use = <A, E>(ask: (store: WaitingMessages["Service"]) => Effect.Effect<A, E>) => WaitingMessages.use(ask)

const keyed = (key: string, body: string) => ({ key, message: content({ body: bytes(body), headers: { key } }) })

const park = (group: string, key: string, body: string, delay: Duration.Input = 0) =>
  use((store) => store.park(group, keyed(key, body), Duration.fromInputUnsafe(delay)))

const append = (group: string, ...messages: ReadonlyArray<readonly [key: string, body: string]>) =>
  use((store) =>
    store.append(
      group,
      messages.map(([key, body]) => keyed(key, body))
    )
  )

const claim = (group: string, owner: string, limit = 100) => use((store) => store.claim(group, owner, limit))
const complete = (owner: string, head: WaitingHead) => use((store) => store.complete(owner, head))
const count = (group: string) => use((store) => store.count(group))

const bodyOf = (head: WaitingHead | undefined): string | undefined => head && text(head.message.body)
const bodiesOf = (heads: ReadonlyArray<WaitingHead>): ReadonlyArray<string> =>
  heads.map(({ message }) => text(message.body)).sort()

/** Waits until something is due. */
const claimSome = (group: string, owner: string) =>
  eventually(
    Effect.tap(claim(group, owner), (heads) => Effect.sync(() => assert.isNotEmpty(heads))),
    { deadline: "30 seconds" }
  )

/** Completes a key's messages one after the other; their bodies. */
const drain = Effect.fnUntraced(function* (owner: string, head: WaitingHead) {
  const bodies: Array<string> = []
  for (let next: WaitingHead | undefined = head; next !== undefined; next = yield* complete(owner, next)) {
    bodies.push(text(next.message.body))
  }
  return bodies
})

/** Runs the whole contract; `letLapse` lets a group's claims lapse, without waiting for it. */
export const suite = <R>(
  name: string,
  layer: Layer.Layer<WaitingMessages | R, unknown>,
  letLapse: (group: string) => Effect.Effect<unknown, unknown, R>
): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(`Waiting messages (${name})`, (it) => {
    it.effect("keep a message's content as it came", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        const message = content({
          id: "id ✓ \u0000 \ud83d",
          body: new Uint8Array([0, 255, 10, 0]),
          headers: { key: "k", bytes: new Uint8Array([1, 2]), big: 2n ** 60n, nested: { list: [1, null, "a\u0000"] } },
          contentType: "application/json",
          publishedAtMillis: 1_700_000_000_123,
          properties: { correlationId: "theirs", priority: 3 }
        })
        yield* use((store) => store.park(group, { key: "k \u0000\ud83d", message }, Duration.zero))
        const [head] = yield* claimSome(group, "me")
        assert.isDefined(head)
        assert.strictEqual(head.key, "k \u0000\ud83d")
        assert.strictEqual(head.attempt, 1)
        const plain = ({ body, headers, ...rest }: typeof message) => ({
          ...rest,
          body: [...body],
          headers: { ...headers, bytes: [...(headers.bytes as Uint8Array)] }
        })
        assert.deepStrictEqual(plain(head.message), plain(message))
      })
    )

    it.effect("take behind a head what belongs to its key, and nothing else", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        yield* park(group, "a", "a1", "1 hour")
        assert.deepStrictEqual(yield* append(group, ["a", "a2"], ["b", "b1"], ["a", "a3"]), [true, false, true])
        assert.deepStrictEqual(yield* append(yield* newGroup, ["a", "other"]), [false])
        assert.deepStrictEqual(yield* append(group), [])
        assert.deepStrictEqual(yield* use((store) => store.keysWaiting(group, ["a", "b"])), new Set(["a"]))
        assert.deepStrictEqual(yield* use((store) => store.keysWaiting(group, [])), new Set())
        assert.strictEqual(yield* count(group), 3)
        assert.deepStrictEqual(yield* claim(group, "me"), [])
      })
    )

    it.effect("hand out a key's messages one after the other, in order, until it is free", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        for (const key of ["a", "b"]) yield* park(group, key, `${key}0`)
        for (const index of Arr.range(1, 5)) yield* append(group, ["a", `a${index}`], ["b", `b${index}`])
        const heads = yield* claimSome(group, "me")
        assert.deepStrictEqual(bodiesOf(heads), ["a0", "b0"])
        assert.deepStrictEqual(yield* claim(group, "me"), [])
        for (const head of heads) {
          const expected = Arr.makeBy(6, (index) => `${head.key}${index}`)
          assert.deepStrictEqual(yield* drain("me", head), expected)
        }
        assert.strictEqual(yield* count(group), 0)
        assert.deepStrictEqual(yield* append(group, ["a", "a6"]), [false])
      })
    )

    it.effect("hand out nothing before it is due, and as many as are asked for, those due longest first", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        const start = performance.now()
        // longer than a busy machine takes for what comes before it
        yield* park(group, "late", "late", "3 seconds")
        for (const key of ["a", "b", "c"]) yield* park(group, key, key)
        assert.deepStrictEqual(bodiesOf(yield* claimSome(group, "me")), ["a", "b", "c"])
        const [late] = yield* claimSome(group, "me")
        assert.strictEqual(bodyOf(late), "late")
        assert.isAtLeast(performance.now() - start, 2_990)
        const many = yield* newGroup
        for (const key of ["a", "b", "c"]) yield* park(many, key, key)
        assert.deepStrictEqual((yield* claim(many, "me", 2)).map(bodyOf), ["a", "b"])
      })
    )

    it.effect("keep for ever what has no end to its delay, and what is behind it", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        yield* park(group, "endless", "1", Duration.infinity)
        yield* append(group, ["endless", "2"])
        yield* park(group, "postponed", "3")
        const [head] = yield* claimSome(group, "me")
        if (head !== undefined) yield* use((store) => store.postpone("me", head, head.message, Duration.infinity))
        assert.deepStrictEqual(yield* claim(group, "me"), [])
        assert.strictEqual(yield* count(group), 3)
      })
    )

    it.effect("give a claim to one owner, whoever asks at the same time", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        for (const index of Arr.range(1, 30)) yield* park(group, `k${index}`, `${index}`)
        const hands = yield* Effect.forEach(Arr.range(1, 8), (owner) => claim(group, `owner ${owner}`, 7), {
          concurrency: "unbounded"
        })
        const rest = yield* claim(group, "last")
        assert.strictEqual([...hands.flat(), ...rest].length, 30)
        assert.strictEqual(new Set([...hands.flat(), ...rest].map(({ key }) => key)).size, 30)
      })
    )

    it.effect("keep a head that is postponed at the head, with what has changed", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        yield* park(group, "a", "a1")
        yield* append(group, ["a", "a2"])
        const [head] = yield* claimSome(group, "me")
        assert.isDefined(head)
        const changed = { ...head.message, headers: { ...head.message.headers, retries: 2 } }
        yield* use((store) => store.postpone("me", head, changed, Duration.seconds(3)))
        assert.deepStrictEqual(yield* claim(group, "other"), [])
        const [again] = yield* claimSome(group, "other")
        assert.deepStrictEqual([bodyOf(again), again?.message.headers.retries, again?.attempt], ["a1", 2, 1])
      })
    )

    it.effect(
      "give what a lost owner had to another, told apart by its attempt, and hear no more of the lost one",
      () =>
        Effect.gen(function* () {
          const group = yield* newGroup
          yield* park(group, "a", "a1")
          yield* append(group, ["a", "a2"])
          const [stale] = yield* claimSome(group, "lost")
          assert.isDefined(stale)
          yield* letLapse(group)
          const [head] = yield* claimSome(group, "next")
          assert.deepStrictEqual([bodyOf(head), head?.attempt], ["a1", 2])
          assert.isUndefined(yield* complete("lost", stale))
          yield* use((store) => store.postpone("lost", stale, stale.message, Duration.hours(1)))
          assert.strictEqual(yield* use((store) => store.renew(group, "lost")), 0)
          assert.strictEqual(yield* count(group), 2)
          assert.isDefined(head)
          assert.deepStrictEqual(yield* drain("next", head), ["a1", "a2"])
        })
    )

    it.effect("keep a claim that is renewed, and take back what is released as if it had never been claimed", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        yield* park(group, "a", "a1")
        yield* claimSome(group, "me")
        yield* letLapse(group)
        assert.strictEqual(yield* use((store) => store.renew(group, "me")), 1)
        assert.deepStrictEqual(yield* claim(group, "other"), [])
        yield* use((store) => store.release(group, "me"))
        const [head] = yield* claim(group, "other")
        assert.deepStrictEqual([bodyOf(head), head?.attempt], ["a1", 1])
      })
    )

    it.effect("lose and reorder nothing that is appended while the key becomes free", () =>
      Effect.gen(function* () {
        const group = yield* newGroup
        for (const round of Arr.range(1, 40)) {
          yield* park(group, "a", "head")
          const [head] = yield* claimSome(group, "me")
          assert.isDefined(head)
          const [[kept], next] = yield* Effect.all([append(group, ["a", `${round}`]), complete("me", head)], {
            concurrency: "unbounded"
          })
          const waits = yield* use((store) => store.keysWaiting(group, ["a"]))
          assert.strictEqual(waits.has("a"), kept === true)
          if (kept !== true) continue
          const found = next ?? (yield* claimSome(group, "me"))[0]
          assert.strictEqual(bodyOf(found), `${round}`)
          assert.isDefined(found)
          assert.isUndefined(yield* complete("me", found))
        }
        assert.strictEqual(yield* count(group), 0)
      })
    )

    it.effect.prop(
      "keep each key's order for any interleaving of what is kept and completed",
      { steps: Schema.Array(Schema.Literals(["a", "b", "c", "complete"])).check(Schema.isMaxLength(25)) },
      ({ steps }) =>
        Effect.gen(function* () {
          const group = yield* newGroup
          const held = new Map<string, WaitingHead>()
          const expected: Record<string, Array<string>> = { a: [], b: [], c: [] }
          const done: Record<string, Array<string>> = { a: [], b: [], c: [] }
          const completeOne = Effect.gen(function* () {
            for (const head of yield* claim(group, "me")) held.set(head.key, head)
            const [head] = held.values()
            if (head === undefined) return
            done[head.key]?.push(text(head.message.body))
            const next = yield* complete("me", head)
            held.delete(head.key)
            if (next !== undefined) held.set(next.key, next)
          })
          for (const [index, step] of steps.entries()) {
            if (step === "complete") yield* completeOne
            else {
              const [kept] = yield* append(group, [step, `${index}`])
              if (kept !== true) yield* park(group, step, `${index}`)
              expected[step]?.push(`${index}`)
            }
          }
          while ((yield* count(group)) > 0) yield* completeOne
          assert.deepStrictEqual(done, expected)
        }),
      { arbitrary: { runs: 25, size: 25 } }
    )
  })
