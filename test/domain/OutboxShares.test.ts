import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { change } from "../../src/domain/OutboxShares.ts"

const slots = 16
const all = Array.from({ length: slots }, (_, slot) => slot)
const Slot = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: slots - 1 }))

/** Every relay looks in turn and does what it decides, until nobody changes anything. */
const settle = (owners: ReadonlyArray<number | undefined>, relays: number, busy: ReadonlySet<number>) => {
  let now = [...owners]
  for (let turn = 0; turn < 100; turn++) {
    const before = [...now]
    for (let relay = 0; relay < relays; relay++) {
      const owned = all.filter((slot) => now[slot] === relay)
      const free = all.filter((slot) => (now[slot] ?? relays) >= relays)
      const { acquire, release } = change({ relays, owned, free }, { slots, isBusy: (slot) => busy.has(slot) })
      now = now.map((owner, slot) => (release.includes(slot) ? undefined : acquire.includes(slot) ? relay : owner))
    }
    if (now.every((owner, slot) => owner === before[slot])) return now
  }
  return assert.fail("the relays do not settle")
}

const Owner = Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 5 })))

describe("Relays that share slots", () => {
  it.prop(
    "come to an end in which every slot has a living owner, and none has more than its share",
    {
      owners: Schema.Array(Owner).check(Schema.isMinLength(slots), Schema.isMaxLength(slots)),
      relays: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 }))
    },
    ({ owners, relays }) => {
      const found = settle(owners, relays, new Set())
      for (let relay = 0; relay < relays; relay++) {
        assert.isAtMost(found.filter((owner) => owner === relay).length, Math.ceil(slots / relays))
      }
      assert.isTrue(found.every((owner) => owner !== undefined && owner < relays))
    }
  )

  it.prop(
    "give up nothing that has something under way",
    { busy: Schema.Array(Slot), relays: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 32 })) },
    ({ busy, relays }) => {
      const { acquire, release } = change(
        { relays, owned: all, free: [] },
        { slots, isBusy: (slot) => busy.includes(slot) }
      )
      assert.deepStrictEqual(acquire, [])
      assert.isTrue(release.every((slot) => !busy.includes(slot)))
      assert.isAtMost(release.length, slots - Math.ceil(slots / relays))
    }
  )
})
