import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { isCommand } from "../../src/domain/OutboxEvent.ts"
import { isDead, isPassedOver, type OrderRules, publishable, waves } from "../../src/domain/OutboxOrder.ts"

const Event = Schema.Struct({
  attempts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })),
  waitMillis: Schema.Literals([0, 1, 1000]),
  isSkipped: Schema.Boolean
})
const Rules = Schema.Struct({
  maxAttempts: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
  dead: Schema.Literals(["hold", "skip"])
})
const events = Schema.Array(Event).check(Schema.isMaxLength(12))

const rules: OrderRules = { maxAttempts: 3, dead: "hold" }
const event = (attempts: number, waitMillis = 0, isSkipped = false) => ({ attempts, waitMillis, isSkipped })

describe("Of a key's events that wait", () => {
  it("those that were never tried go on behind one that is due", () => {
    const all = [event(1), event(0), event(0)]
    assert.deepStrictEqual(publishable(all, rules), all)
  })

  it("one that is not due yet holds back those behind it", () => {
    assert.deepStrictEqual(publishable([event(0), event(1, 5), event(0)], rules), [event(0)])
  })

  it("a dead one holds back those behind it, until it is skipped or the rule lets its key go on", () => {
    assert.deepStrictEqual(publishable([event(3), event(0)], rules), [])
    assert.deepStrictEqual(publishable([event(3, 0, true), event(0)], rules), [event(0)])
    assert.deepStrictEqual(publishable([event(3), event(0)], { ...rules, dead: "skip" }), [event(0)])
  })

  it("one that was skipped and brought back comes first again", () => {
    const back = event(0, 0, true)
    assert.deepStrictEqual(publishable([back, event(0)], rules), [back, event(0)])
  })

  it.prop(
    "none is published before one in front of it that counts",
    { all: events, rules: Rules },
    ({ all, rules }) => {
      const found = publishable(all, rules)
      const counting = all.filter((one) => !isPassedOver(one, rules))
      assert.deepStrictEqual(found, counting.slice(0, found.length))
      const next = counting[found.length]
      assert.isTrue(next === undefined || isDead(next, rules) || next.waitMillis > 0)
      for (const one of found) assert.isFalse(isDead(one, rules))
    }
  )
})

const Lane = Schema.Literals(["a", "b", "c", "d"])

describe("Waves", () => {
  it.prop(
    "hold each event once, one of a lane at most, and a lane's events in their order without a gap",
    { lanes: Schema.Array(Lane).check(Schema.isMaxLength(40)) },
    ({ lanes }) => {
      const all = lanes.map((lane, place) => ({ lane, place }))
      const found = waves(
        all,
        ({ lane }) => lane,
        () => false
      )
      assert.strictEqual(found.flat().length, all.length)
      for (const lane of ["a", "b", "c", "d"]) {
        const own = found.map((wave) => wave.filter((one) => one.lane === lane))
        assert.isTrue(own.every((some) => some.length <= 1))
        const places = own.flat().map(({ place }) => place)
        assert.deepStrictEqual(
          places,
          all.filter((one) => one.lane === lane).map(({ place }) => place)
        )
        assert.isTrue(own.slice(0, places.length).every((some) => some.length === 1))
      }
    }
  )
})

describe("Waves of what goes together", () => {
  it.prop(
    "hold a lane's events in their order, and begin a new one only where the next may not go along",
    { events: Schema.Array(Schema.Struct({ lane: Lane, topic: Lane })).check(Schema.isMaxLength(40)) },
    ({ events }) => {
      const all = events.map((event, place) => ({ ...event, place }))
      const found = waves(
        all,
        ({ lane }) => lane,
        (before, event) => before.topic === event.topic
      )
      assert.strictEqual(found.flat().length, all.length)
      for (const lane of ["a", "b", "c", "d"]) {
        const own = all.filter((one) => one.lane === lane)
        const inWaves = found.map((wave) => wave.filter((one) => one.lane === lane))
        assert.deepStrictEqual(inWaves.flat(), own)
        assert.isTrue(inWaves.every((some) => new Set(some.map(({ topic }) => topic)).size <= 1))
        const changes = own.filter((one, index) => one.topic !== own[index - 1]?.topic)
        assert.strictEqual(inWaves.filter((some) => some.length > 0).length, changes.length)
      }
    }
  )
})

describe("A command", () => {
  it("is known by the word commands in its topic", () => {
    assert.deepStrictEqual(["payment.commands.process", "commands.process", "a.commands.b.c"].map(isCommand), [
      true,
      true,
      true
    ])
    assert.deepStrictEqual(
      ["payment.commands", "payment.subcommands.x", "commands", "payments.stored"].map(isCommand),
      [false, false, false, false]
    )
  })
})
