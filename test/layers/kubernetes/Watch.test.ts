/** A watch, and an API server that answers by script: what no real one does when it is asked to. */
import type { IncomingMessage } from "node:http"
import { PassThrough } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Queue } from "effect"
import { TestClock } from "effect/testing"
import type { ClusterObject } from "../../../src/domain/ClusterObjects.ts"
import type { ClusterEvent } from "../../../src/domain/ports/Cluster.ts"
import type { Requests } from "../../../src/layers/kubernetes/Requests.ts"
import * as Watch from "../../../src/layers/kubernetes/Watch.ts"
import { eventually } from "../../support/servers/eventually.ts"

const object = (name: string, version: number) => ({
  metadata: { namespace: "n", name, uid: `uid-${name}`, resourceVersion: `${version}`, managedFields: [{ a: 1 }] }
})
const line = (type: string, value: unknown): string => `${JSON.stringify({ type, object: value })}\n`
const bookmark = (version: number): string => line("BOOKMARK", { metadata: { resourceVersion: `${version}` } })

const listing = (version: number, ...objects: ReadonlyArray<unknown>) => ({
  status: 200,
  body: JSON.stringify({ metadata: { resourceVersion: `${version}` }, items: objects })
})
const status = (code: number, reason: string, message: string) => ({
  status: code,
  body: JSON.stringify({ kind: "Status", code, reason, message })
})

interface Scripted {
  readonly status: number
  readonly body: string
  readonly retryAfter?: string
  /** Stays open after what it says; else it ends. */
  readonly stays?: boolean
  /** Breaks off after what it says. */
  readonly breaks?: boolean
}

const stream = (...lines: ReadonlyArray<string>): Scripted => ({ status: 200, body: lines.join("") })

const responseOf = ({ body, breaks, retryAfter, stays }: Scripted): IncomingMessage => {
  const response = Object.assign(new PassThrough(), { headers: retryAfter ? { "retry-after": retryAfter } : {} })
  if (body !== "") response.write(body)
  if (breaks) setImmediate(() => response.destroy(new Error("ECONNRESET")))
  else if (!stays) response.end()
  return response as unknown as IncomingMessage
}

/** Lists and watches are answered in their order; after the last, a watch stays open and silent. */
const play = (script: { readonly lists: ReadonlyArray<Scripted>; readonly watches: ReadonlyArray<Scripted> }) =>
  Effect.gen(function* () {
    const [lists, watches] = [[...script.lists], [...script.watches]]
    const opened: Array<{ readonly from: string; readonly atMillis: number }> = []
    let listed = 0
    const requests: Requests = {
      address: "script",
      send: () =>
        Effect.sync(() => {
          listed += 1
          return { retryAfter: undefined, ...(lists.shift() ?? listing(0)) }
        }),
      open: ({ path }) =>
        Effect.map(Clock.currentTimeMillis, (atMillis) => {
          const from = new URL(path, "https://script").searchParams.get("resourceVersion") ?? ""
          opened.push({ from, atMillis })
          const next = watches.shift() ?? { status: 200, body: "", stays: true }
          return { status: next.status, response: responseOf(next) }
        })
    }
    const events = yield* Queue.unbounded<string>()
    const place = { kind: "Job", namespace: "n", labels: undefined, fields: undefined } as const
    const watch = Watch.make(requests, place, { silence: Duration.seconds(90) })
    const tell = (told: ReadonlyArray<ClusterEvent<ClusterObject>>) => Queue.offerAll(events, told.map(inShort))
    const fiber = yield* Effect.forkChild(Effect.andThen(watch.begin, watch.follow(tell)))
    return { opened, events, fiber, listedTimes: () => listed }
  })

const inShort = (event: ClusterEvent<ClusterObject>): string =>
  event._tag === "Synced" ? "Synced" : `${event._tag} ${event.object.metadata.name}`

/** Lets time pass until something is so. */
const passing = (check: () => void) =>
  eventually(Effect.andThen(TestClock.adjust("1 second"), Effect.sync(check)), {
    deadline: "20 seconds",
    every: "1 millis"
  })

describe("A watch", () => {
  it.effect("goes on from the last change or bookmark, when the server ends it or it breaks", () =>
    Effect.gen(function* () {
      const { events, listedTimes, opened } = yield* play({
        lists: [listing(5)],
        watches: [
          stream(line("ADDED", object("one", 7))),
          stream(bookmark(9)),
          { ...stream(line("MODIFIED", object("one", 11)), '{"type":"ADDED","object":{"meta'), breaks: true },
          { ...stream(line("ADDED", object("two", 12))), stays: true }
        ]
      })
      yield* passing(() => assert.strictEqual(opened.length, 4))
      assert.deepStrictEqual(
        opened.map(({ from }) => from),
        ["5", "7", "9", "11"]
      )
      assert.deepStrictEqual(yield* Queue.takeN(events, 3), ["Applied one", "Applied one", "Applied two"])
      assert.strictEqual(listedTimes(), 1)
    })
  )

  it.effect("goes on when the server begins to say why it refuses, and does not end", () =>
    Effect.gen(function* () {
      const { events, opened } = yield* play({
        lists: [listing(5)],
        watches: [
          { ...status(503, "ServiceUnavailable", "later"), stays: true },
          { ...stream(line("ADDED", object("one", 7))), stays: true }
        ]
      })
      yield* passing(() => assert.strictEqual(opened.length, 2))
      assert.deepStrictEqual(yield* Queue.takeN(events, 1), ["Applied one"])
    })
  )

  it.effect("lists again when its position is forgotten, be it told at once or in the stream", () =>
    Effect.gen(function* () {
      const gone = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" }
      const { events, listedTimes, opened } = yield* play({
        lists: [listing(5, object("one", 4)), listing(20, object("two", 19)), listing(30, object("two", 29))],
        watches: [status(410, "Gone", "too old"), stream(line("ERROR", gone)), { ...stream(bookmark(31)), stays: true }]
      })
      yield* passing(() => assert.strictEqual(opened.length, 3))
      assert.deepStrictEqual(
        opened.map(({ from }) => from),
        ["5", "20", "30"]
      )
      assert.deepStrictEqual(yield* Queue.takeN(events, 3), ["Deleted one", "Applied two", "Applied two"])
      assert.strictEqual(listedTimes(), 3)
    })
  )

  it.effect("does not list again for another error in the stream", () =>
    Effect.gen(function* () {
      const trouble = { kind: "Status", code: 500, reason: "InternalError", message: "etcd has no leader" }
      const { listedTimes, opened } = yield* play({
        lists: [listing(5)],
        watches: [stream(line("ERROR", trouble)), stream("this is no JSON\n"), stream(line("ADDED", { metadata: {} }))]
      })
      yield* passing(() => assert.strictEqual(opened.length, 4))
      assert.deepStrictEqual(
        opened.map(({ from }) => from),
        ["5", "5", "5", "5"]
      )
      assert.strictEqual(listedTimes(), 1)
    })
  )

  it.effect("that has been silent for its limit lists again, and is opened again", () =>
    Effect.gen(function* () {
      const { opened } = yield* play({
        lists: [listing(5), listing(9)],
        watches: [{ ...stream(bookmark(8)), stays: true }]
      })
      yield* passing(() => assert.strictEqual(opened.length, 2))
      const [first, second] = opened
      assert.strictEqual(second?.from, "9")
      assert.isAtLeast((second?.atMillis ?? 0) - (first?.atMillis ?? 0), 90_000)
    })
  )

  it.effect("waits as long as the server asks", () =>
    Effect.gen(function* () {
      const { opened } = yield* play({
        lists: [listing(5)],
        watches: [{ ...status(429, "TooManyRequests", "too many requests"), retryAfter: "7" }]
      })
      yield* passing(() => assert.strictEqual(opened.length, 2))
      assert.isAtLeast((opened[1]?.atMillis ?? 0) - (opened[0]?.atMillis ?? 0), 7_000)
    })
  )

  it.effect("is opened ever more rarely while it fails, and never more rarely than each 30 seconds", () =>
    Effect.gen(function* () {
      const { opened } = yield* play({
        lists: [listing(5)],
        watches: Array.from({ length: 14 }, () => status(503, "ServiceUnavailable", "starting"))
      })
      yield* passing(() => assert.strictEqual(opened.length, 15))
      const pauses = opened.slice(1).map(({ atMillis }, index) => atMillis - (opened[index]?.atMillis ?? 0))
      assert.isAtMost(pauses[0] ?? 0, 1_000)
      assert.isAtLeast(pauses.at(-1) ?? 0, 15_000)
      assert.isAtMost(Math.max(...pauses), 31_000)
    })
  )

  it.effect("notices a server whose history went back, and tells all there is from the beginning", () =>
    Effect.gen(function* () {
      const { events, opened } = yield* play({
        lists: [listing(50, object("one", 40), object("two", 41)), listing(20, object("one", 15))],
        watches: [
          { ...stream(), breaks: true },
          { ...stream(), stays: true },
          { ...stream(line("MODIFIED", object("one", 21))), stays: true }
        ]
      })
      yield* passing(() => assert.strictEqual(opened.length, 3))
      assert.deepStrictEqual(
        opened.map(({ from }) => from),
        ["50", "50", "20"]
      )
      assert.deepStrictEqual(yield* Queue.takeN(events, 2), ["Synced", "Applied one"])
      assert.isAtMost(opened[2]?.atMillis ?? 0, 100_000)
    })
  )

  const forbidden = status(
    403,
    "Forbidden",
    'jobs.batch is forbidden: User "x" cannot watch resource "jobs" in API group "batch"'
  )

  it.effect("ends with what only somebody else can put right, when it has lasted a minute", () =>
    Effect.gen(function* () {
      const watches = Array.from({ length: 20 }, () => forbidden)
      const { fiber, opened } = yield* play({ lists: [listing(5)], watches })
      yield* passing(() => assert.isDefined(fiber.pollUnsafe()))
      const error = yield* Effect.flip(Fiber.join(fiber))
      assert.strictEqual(error.reason._tag, "Forbidden")
      assert.include(error.message, "grant watch on jobs.batch in a Role in namespace n")
      assert.isAtLeast((opened.at(-1)?.atMillis ?? 0) - (opened[0]?.atMillis ?? 0), 60_000)
    })
  )

  it.effect("gets over a server that does not know us yet", () =>
    Effect.gen(function* () {
      const unknown = status(401, "Unauthorized", "Unauthorized")
      const { events } = yield* play({
        lists: [unknown, forbidden, listing(5)],
        watches: [unknown, forbidden, { ...stream(line("ADDED", object("one", 7))), stays: true }]
      })
      yield* passing(() => assert.strictEqual(Queue.sizeUnsafe(events), 1))
      assert.strictEqual(yield* Queue.take(events), "Applied one")
    })
  )
})
