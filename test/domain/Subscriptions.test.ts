import { assert, describe, it } from "@effect/vitest"
import { deadLetterTopicsOf, groupOf, isDeadLetterTopic } from "../../src/domain/Subscriptions.ts"

describe("A worker subscribes", () => {
  const known = deadLetterTopicsOf([{ dlqTopic: "failed" }, { dlqTopic: "failed" }, { dlqTopic: "payment.given-up" }])
  const groups: ReadonlyArray<readonly [how: string, topic: string, group: string | undefined]> = [
    ["with its group to a topic", "orders", "g"],
    ["with its group to topics by a wildcard", "orders.#", "g"],
    ["without a group to dead letters by their name", "orders.dlq", undefined],
    ["without a group to what some worker names as its dlqTopic", "failed", undefined],
    ["without a group to commands", "payment.commands.process", undefined],
    ["with its group to what only sounds like commands", "payment.subcommands.x", "g"],
    ["with its group to the last word `commands`", "payment.commands", "g"]
  ]
  for (const [how, topic, group] of groups) {
    it(how, () => assert.strictEqual(groupOf({ topic, groupId: "g" }, known), group))
  }

  it("to commands as to no dead letters", () => assert.isFalse(isDeadLetterTopic("payment.commands.process", known)))
})
