import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { blamesEvent, failedAttempt } from "../../src/domain/OutboxAttempts.ts"
import { BrokerAway, BrokerError, BrokerRefused, MessageRefused, Unroutable } from "../../src/domain/ports/Broker.ts"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"

const policy = RetryPolicy.exponential({ initialDelay: "2 seconds", maxDelay: "1 hour", jitter: 0.1 })
const because = (reason: BrokerError["reason"]) => new BrokerError({ reason })
const detail = "because"

describe("An event that was not taken", () => {
  it("is not to blame for a broker that is away, whatever its status says", () => {
    const error = because(new BrokerAway({ detail }))
    assert.isFalse(blamesEvent(error, "away"))
    assert.isFalse(blamesEvent(error, "connected"))
  })

  it("is to blame for a no of a broker that is there, and not for credentials that are refused", () => {
    const refused = because(new BrokerRefused({ detail }))
    assert.isTrue(blamesEvent(refused, "connected"))
    assert.isFalse(blamesEvent(refused, "away"))
    assert.isTrue(blamesEvent(because(new MessageRefused({ detail })), "connected"))
    assert.isTrue(blamesEvent(because(new Unroutable({ detail })), "connected"))
  })

  it.prop(
    "waits longer each time, at most an hour, and keeps a reason that any database takes",
    {
      attempts: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })),
      random: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 })),
      reason: Schema.String.check(Schema.isMaxLength(2000))
    },
    ({ attempts, random, reason }) => {
      const failure = failedAttempt({ id: "id", attempts }, `${reason}\0\ud800`.repeat(3), policy, random)
      const millis = Duration.toMillis(failure.delay)
      assert.isAtMost(millis, 3_600_000)
      assert.isAtLeast(millis, Math.min(3_600_000, 2000 * 2 ** attempts) * 0.9 - 1)
      assert.isAtMost(failure.reason.length, 500)
      assert.isTrue(failure.reason.isWellFormed() && !failure.reason.includes("\0"))
      assert.strictEqual(failure.attemptsBefore, attempts)
    }
  )
})
