import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Duration, Schema } from "effect"
import * as RetryPolicy from "../../src/domain/RetryPolicy.ts"

const secondsOf = (policy: RetryPolicy.RetryPolicy, retries: number) =>
  Arr.makeBy(retries, (index) => Duration.toSeconds(RetryPolicy.delay(policy, index + 1)))

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const longestMillis = 10 * 365 * 86_400_000
const millis = between(0, longestMillis)
const attempts = between(1, 10_000)
const makers = { exponential: RetryPolicy.exponential, linear: RetryPolicy.linear, fixed: RetryPolicy.fixed }
const kinds = Schema.Literals(["exponential", "linear", "fixed"])
const share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const many = { arbitrary: { runs: 300, size: 50 } }

describe("A retry policy", () => {
  it("waits 1, 2, 4, 8 s exponentially, 1, 2, 3 s linearly, 5, 5, 5 s fixed", () => {
    assert.deepStrictEqual(secondsOf(RetryPolicy.exponential(), 4), [1, 2, 4, 8])
    assert.deepStrictEqual(secondsOf(RetryPolicy.linear(), 3), [1, 2, 3])
    assert.deepStrictEqual(secondsOf(RetryPolicy.fixed(), 3), [5, 5, 5])
  })

  it("gives the wait in a pipe too", () => {
    const wait: Duration.Duration = RetryPolicy.exponential().pipe(RetryPolicy.delay(3))
    assert.strictEqual(Duration.toSeconds(wait), 4)
  })

  it("tries again three times unless told otherwise", () => {
    assert.strictEqual(RetryPolicy.linear().maxRetries, 3)
    assert.deepStrictEqual(
      [3, 4].map((attempt) => RetryPolicy.mayRetry(RetryPolicy.linear(), attempt)),
      [true, false]
    )
    assert.isFalse(RetryPolicy.mayRetry(RetryPolicy.none, 1))
  })

  it("waits from the initial delay up to the longest one", () => {
    const policy = RetryPolicy.exponential({ initialDelay: "2 seconds", maxDelay: "9 seconds" })
    assert.deepStrictEqual(secondsOf(policy, 5), [2, 4, 8, 9, 9])
    assert.deepStrictEqual(secondsOf(RetryPolicy.fixed({ maxDelay: "1 second" }), 2), [1, 1])
  })

  it.prop(
    "never waits longer than the longest delay, nor shorter than before",
    { kind: kinds, initialDelay: millis, maxDelay: millis, attempt: attempts },
    ({ attempt, initialDelay, kind, maxDelay }) => {
      const policy = makers[kind]({ initialDelay, maxDelay })
      const wait = Duration.toMillis(RetryPolicy.delay(policy, attempt))
      const before = Duration.toMillis(RetryPolicy.delay(policy, Math.max(1, attempt - 1)))
      assert.isTrue(wait <= maxDelay && wait >= before, `${before} then ${wait}`)
    },
    many
  )

  it.prop(
    "spreads a wait over its share to both sides, and not beyond the longest delay",
    { kind: kinds, initialDelay: millis, maxDelay: millis, attempt: between(1, 20), jitter: share, random: share },
    ({ attempt, initialDelay, jitter, kind, maxDelay, random }) => {
      const policy = makers[kind]({ initialDelay, maxDelay, jitter })
      const plain = Duration.toMillis(RetryPolicy.delay(policy, attempt))
      const wait = Duration.toMillis(RetryPolicy.jitteredDelay(policy, attempt, random))
      // a duration has whole nanoseconds
      const rounding = 1e-6 + plain * 1e-12
      assert.isAtMost(wait, Math.min(maxDelay, plain * (1 + jitter)) + rounding)
      assert.isAtLeast(wait, plain * (1 - jitter) - rounding)
    },
    many
  )

  it("has no jitter unless told so, and all of its share at the edges", () => {
    const wait = (jitter: number, random: number) =>
      Duration.toSeconds(RetryPolicy.jitteredDelay(RetryPolicy.fixed({ jitter }), 1, random))
    assert.deepStrictEqual([wait(0, 0), wait(0, 0.99)], [5, 5])
    assert.deepStrictEqual([wait(0.2, 0), wait(0.2, 0.5), wait(0.2, 1)], [4, 5, 6])
    assert.strictEqual(wait(1, 0), 0)
  })
})

describe("A retry policy that makes no sense", () => {
  const wrong: ReadonlyArray<readonly [RetryPolicy.RetryPolicyOptions, message: RegExp]> = [
    [{ maxRetries: -1 }, /maxRetries takes a whole number from 0, got -1/],
    [{ maxRetries: 1.5 }, /maxRetries .*got 1.5/],
    [{ maxRetries: Number.NaN }, /maxRetries .*got NaN/],
    [{ maxRetries: Number.POSITIVE_INFINITY }, /maxRetries .*got Infinity/],
    [{ jitter: -0.1 }, /jitter takes a number from 0 to 1, got -0.1/],
    [{ jitter: 1.1 }, /jitter .*got 1.1/],
    [{ jitter: Number.NaN }, /jitter .*got NaN/],
    [{ initialDelay: Duration.infinity }, /initialDelay takes a finite duration, 0 or longer, got Infinity/],
    [{ initialDelay: -1 }, /initialDelay .*got -1/],
    [{ maxDelay: Duration.negativeInfinity }, /maxDelay .*got -Infinity/],
    [{ maxDelay: Number.NaN }, /maxDelay .*got NaN/],
    [{ initialDelay: "soon" as "1 second" }, /initialDelay .*got soon/]
  ]
  for (const [options, message] of wrong) {
    it(`is refused where it is made: ${message.source}`, () => {
      for (const make of [RetryPolicy.exponential, RetryPolicy.linear, RetryPolicy.fixed]) {
        assert.throws(() => make(options), message)
      }
    })
  }
})
