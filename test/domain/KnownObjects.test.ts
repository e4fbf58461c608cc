import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { type ClusterObject, versionOf } from "../../src/domain/ClusterObjects.ts"
import { KnownObjects } from "../../src/domain/KnownObjects.ts"
import type { ClusterEvent } from "../../src/domain/ports/Cluster.ts"

const object = (name: string, uid: string, version: number): ClusterObject => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { namespace: "n", name, uid, resourceVersion: `${version}`, creationTimestamp: "2026-01-01T00:00:00Z" }
})

const inShort = (events: ReadonlyArray<ClusterEvent<ClusterObject>>) =>
  events.map((event) =>
    event._tag === "Synced" ? "Synced" : `${event._tag} ${event.object.metadata.uid}@${versionOf(event.object)}`
  )

describe("What a watch has told", () => {
  it("is not told again, nor anything older", () => {
    const known = new KnownObjects()
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 5))), ["Applied 1@5"])
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 5))), [])
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 4))), [])
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 10))), ["Applied 1@10"])
  })

  it("is void when a list shows that the history went back: what there is now is told from the beginning", () => {
    const known = new KnownObjects()
    known.relist([object("a", "1", 5), object("b", "2", 6)], 9n)
    assert.deepStrictEqual(known.relist([object("a", "1", 3)], 4n), [
      { _tag: "Synced", objects: [object("a", "1", 3)] }
    ])
    assert.strictEqual(known.position, 4n)
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 5))), ["Applied 1@5"])
  })

  it("is told as deleted and created where another object took the name unseen", () => {
    const known = new KnownObjects()
    known.relist([object("a", "1", 5)], 5n)
    assert.deepStrictEqual(inShort(known.relist([object("a", "2", 7)], 8n)), ["Deleted 1@5", "Applied 2@7"])
  })

  it("stays deleted when an older copy turns up", () => {
    const known = new KnownObjects()
    known.apply(object("a", "1", 5))
    assert.deepStrictEqual(inShort(known.remove(object("a", "1", 6))), ["Deleted 1@6"])
    assert.deepStrictEqual(inShort(known.apply(object("a", "1", 5))), [])
    assert.strictEqual(known.position, 6n)
  })

  const Step = Schema.Struct({
    name: Schema.Literals(["a", "b", "c"]),
    deletes: Schema.Boolean,
    /** Whether the watch is told of it: what it misses, the next relist tells. */
    missed: Schema.Boolean
  })
  const steps = Schema.Array(Step).check(Schema.isMaxLength(30))

  it.effect.prop(
    "put together is what there is, after every relist, whatever was missed or repeated",
    { steps },
    ({ steps }) =>
      Effect.sync(() => {
        const server = new Map<string, ClusterObject>()
        const told = new Map<string, ClusterObject>()
        const known = new KnownObjects()
        const take = (events: ReadonlyArray<ClusterEvent<ClusterObject>>) => {
          for (const event of events) {
            if (event._tag === "Synced") continue
            const { metadata } = event.object
            const before = told.get(metadata.name)
            if (before?.metadata.uid === metadata.uid)
              assert.isTrue(versionOf(event.object) > versionOf(before) || event._tag === "Deleted")
            else assert.isUndefined(before)
            if (event._tag === "Deleted") told.delete(metadata.name)
            else told.set(metadata.name, event.object)
          }
        }
        let version = 0
        for (const { deletes, missed, name } of steps) {
          version += 1
          const there = server.get(name)
          if (deletes && there !== undefined) {
            server.delete(name)
            const gone = object(name, there.metadata.uid, version)
            if (!missed) take(known.remove(gone))
          } else {
            const next = object(name, there?.metadata.uid ?? `${name}${version}`, version)
            server.set(name, next)
            // twice: a connection that was cut may repeat
            if (!missed) for (const copy of [next, there ?? next, next]) take(known.apply(copy))
          }
        }
        take(known.relist([...server.values()], BigInt(version)))
        assert.deepStrictEqual([...told].toSorted(), [...server].toSorted())
      }),
    { arbitrary: { runs: 300, size: 30 } }
  )
})
