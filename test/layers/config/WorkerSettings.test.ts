import { assert, describe, it } from "@effect/vitest"
import { Duration, Schema } from "effect"
import { workerSettings } from "../../../src/layers/config/WorkerSettings.ts"
import { problemsOf, settingsOf } from "./support.ts"

const namesOf = (variables: Readonly<Record<string, string>>) =>
  problemsOf(workerSettings, variables).map(({ name }) => name)

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("workerSettings", () => {
  it("works when nothing is set", () => {
    assert.deepStrictEqual(settingsOf(workerSettings, {}), {
      queue: "payments",
      deadLetterQueue: "payments.dlq",
      maxMessages: undefined,
      maxMessageBytes: 16_777_216,
      maxBytesInFlight: 67_108_864,
      idleTimeout: undefined,
      batchSize: 500,
      batchWindow: Duration.zero,
      batchesInFlight: 2,
      prefetch: 1500
    })
  })

  it("takes what is set", () => {
    const settings = settingsOf(workerSettings, {
      QUEUE_NAME: "orders",
      MAX_MESSAGES: "10",
      IDLE_TIMEOUT_SECONDS: "0.5",
      BATCH_WINDOW_MILLIS: "20"
    })
    assert.deepInclude(settings, { queue: "orders", deadLetterQueue: "orders.dlq", maxMessages: 10 })
    assert.deepStrictEqual(settings.idleTimeout, Duration.millis(500))
    assert.deepStrictEqual(settings.batchWindow, Duration.millis(20))
  })

  it("has no limit where the limit is empty or said to be none", () => {
    assert.isUndefined(settingsOf(workerSettings, { MAX_MESSAGES: "" }).maxMessages)
    assert.isUndefined(settingsOf(workerSettings, { MAX_MESSAGES: "unlimited" }).maxMessages)
    assert.isUndefined(settingsOf(workerSettings, { IDLE_TIMEOUT_SECONDS: "never" }).idleTimeout)
  })

  it("sets dead letters aside under another name, or nowhere", () => {
    assert.strictEqual(settingsOf(workerSettings, { DLQ_NAME: "aside" }).deadLetterQueue, "aside")
    assert.isUndefined(settingsOf(workerSettings, { DLQ_NAME: "none" }).deadLetterQueue)
  })

  it("refuses dead letters that would come back, or whose queue has too long a name", () => {
    assert.deepStrictEqual(namesOf({ QUEUE_NAME: "a", DLQ_NAME: "a" }), ["DLQ_NAME"])
    assert.deepStrictEqual(namesOf({ QUEUE_NAME: "x".repeat(252) }), ["DLQ_NAME"])
    assert.deepStrictEqual(namesOf({ QUEUE_NAME: "x".repeat(252), DLQ_NAME: "none" }), [])
  })

  const refused: ReadonlyArray<readonly [string, string]> = [
    ["MAX_MESSAGES", "0"],
    ["MAX_MESSAGES", "-1"],
    ["MAX_MESSAGE_BYTES", "16MiB"],
    ["MAX_MESSAGE_BYTES", "0"],
    ["IDLE_TIMEOUT_SECONDS", "0"],
    ["IDLE_TIMEOUT_SECONDS", "-5"],
    ["BATCH_SIZE", "10001"],
    ["BATCH_WINDOW_MILLIS", "1.5"],
    ["BATCHES_IN_FLIGHT", "17"],
    ["QUEUE_NAME", " payments"]
  ]
  for (const [name, text] of refused) {
    it(`refuses ${name}=${text}, and says what it got`, () => {
      const problems = problemsOf(workerSettings, { [name]: text })
      assert.deepStrictEqual(
        problems.map(({ name, got }) => [name, got]),
        [[name, JSON.stringify(text)]]
      )
    })
  }

  it("says everything at once, and what does not fit together when each fits alone", () => {
    assert.deepStrictEqual(namesOf({ BATCH_SIZE: "x", MAX_MESSAGES: "0", QUEUE_NAME: "\t" }), [
      "QUEUE_NAME",
      "MAX_MESSAGES",
      "BATCH_SIZE"
    ])
    const together = {
      QUEUE_NAME: "a",
      DLQ_NAME: "a",
      MAX_MESSAGE_BYTES: "70000000",
      BATCH_SIZE: "10000",
      BATCHES_IN_FLIGHT: "16"
    }
    assert.deepStrictEqual(namesOf(together), ["DLQ_NAME", "MAX_BYTES_IN_FLIGHT", "BATCH_SIZE"])
  })

  it.prop(
    "what is taken can neither stall nor leave what AMQP can say",
    {
      batchSize: between(1, 10_000),
      batchesInFlight: between(1, 16)
    },
    ({ batchSize, batchesInFlight }) => {
      const needed = batchSize * (batchesInFlight + 1)
      const variables = { BATCH_SIZE: String(batchSize), BATCHES_IN_FLIGHT: String(batchesInFlight) }
      assert.deepStrictEqual(namesOf(variables), needed <= 65_535 ? [] : ["BATCH_SIZE"])
      if (needed <= 65_535) assert.strictEqual(settingsOf(workerSettings, variables).prefetch, needed)
    },
    { arbitrary: { runs: 300 } }
  )

  it.prop(
    "a message within its limit fits into the bytes in flight",
    {
      one: between(1, 200_000_000),
      all: between(1, 1_200_000_000)
    },
    ({ one, all }) => {
      const problems = namesOf({ MAX_MESSAGE_BYTES: String(one), MAX_BYTES_IN_FLIGHT: String(all) })
      const isFine = one <= 134_217_728 && all <= 1_073_741_824 && one <= all
      assert.strictEqual(problems.length === 0, isFine)
    },
    { arbitrary: { runs: 300 } }
  )
})
