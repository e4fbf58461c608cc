import { assert, describe, it } from "@effect/vitest"
import { brokerError } from "../../../src/layers/rabbitmq/RabbitMqError.ts"

const reasonOf = (message: string) => brokerError("localhost:5672/", "consume orders")(new Error(message)).reason._tag

describe("An error of RabbitMQ", () => {
  for (const message of [
    `Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused"`,
    `Operation failed: QueueDeclare; 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - access to queue 'orders'"`,
    `Connection closed: 530 (NOT-ALLOWED) with message "NOT_ALLOWED - vhost pay not found"`,
    "Expected ConnectionOpenOk; got <ConnectionClose channel:0>"
  ])
    it(`is a refusal: ${message}`, () => assert.strictEqual(reasonOf(message), "BrokerRefused"))

  for (const message of [
    `Channel closed by server: 406 (PRECONDITION-FAILED) with message "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 403 ms."`,
    `Operation failed: BasicConsume; 404 (NOT-FOUND) with message "NOT_FOUND - no queue 'orders-403' in vhost '/'"`,
    `Connection closed: 530 (NOT-ALLOWED) with message "NOT_ALLOWED - vhost 'pay' is down"`,
    "read ECONNRESET"
  ])
    it(`passes: ${message}`, () => assert.strictEqual(reasonOf(message), "BrokerAway"))
})
