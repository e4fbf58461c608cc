import { assert, describe, it } from "@effect/vitest"
import { argumentsOf } from "../../../src/layers/rabbitmq/RabbitMqQueues.ts"

const limited = { "x-queue-type": "quorum", "x-delivery-limit": -1 }
const unlimited = { "x-queue-type": "quorum" }

describe("A queue that is missing", () => {
  for (const version of ["4.0", "4.0.0", "4.1", "4.1.4", "4.2.0-rc.1", "10.0.1"]) {
    it(`is told to drop no message where brokers do so of themselves (${version})`, () => {
      assert.deepStrictEqual(argumentsOf("quorum", version), limited)
    })
  }

  for (const version of ["3.8.9", "3.10", "3.10.25", "3.13", "3.13.7", "", "unknown", "v4", "undefined"]) {
    it(`says nothing of a limit that the broker may not know ("${version}")`, () => {
      assert.deepStrictEqual(argumentsOf("quorum", version), unlimited)
    })
  }

  it("has no arguments where it is a classic one, as other programs declare it", () => {
    for (const version of ["3.10.25", "4.1.4"]) assert.deepStrictEqual(argumentsOf("classic", version), {})
  })
})
