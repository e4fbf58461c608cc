import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import * as Sandbox from "../../src/domain/Sandbox.ts"

const methods = [
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "sandbox_timeout",
  "sandbox_timeout_charged",
  "sandbox_error",
  "sandbox_twice"
] as const

const operations = Arbitrary.array(Arbitrary.schema(Schema.Literals(["confirm", "cancel", "refund", "look"])), {
  maxLength: 12
})
const many = { arbitrary: { runs: 1000, size: 30 } }

const others = { cancel: Sandbox.cancel, refund: Sandbox.refund, look: Sandbox.look }

const step = (method: string, charge: Sandbox.SandboxCharge, operation: "confirm" | "cancel" | "refund" | "look") =>
  operation === "confirm" ? Sandbox.confirm(method, charge) : others[operation](charge)

const heardOf = ({ heard }: Sandbox.SandboxAnswer): string =>
  Result.match(heard, { onSuccess: ({ _tag }) => _tag, onFailure: ({ reason }) => reason._tag })

const isTaken = ({ status }: Sandbox.SandboxCharge): boolean => status === "Charged" || status === "Refunded"

describe("The sandbox", () => {
  it.each<readonly [string, ReadonlyArray<string>, string]>([
    ["pm_card_visa", ["Charged", "Charged"], "Charged"],
    ["pm_card_chargeDeclined", ["Declined", "Declined"], "Declined"],
    ["sandbox_timeout", ["GatewayUnanswered", "GatewayUnanswered"], "Unconfirmed"],
    ["sandbox_timeout_charged", ["GatewayUnanswered", "Charged"], "Charged"],
    ["sandbox_error", ["GatewayAway", "GatewayAway", "GatewayAway"], "Unconfirmed"],
    ["sandbox_twice", ["GatewayAway", "GatewayAway", "Charged"], "Charged"]
  ])("answers %s with %j, and then it is %s", (method, answers, status) => {
    let charge = Sandbox.unconfirmed
    for (const answer of answers) {
      const next = Sandbox.confirm(method, charge)
      assert.strictEqual(heardOf(next), answer)
      charge = next.charge
    }
    assert.strictEqual(charge.status, status)
  })

  it("knows these payment methods and no others", () => {
    for (const method of methods) assert.isTrue(Result.isSuccess(Sandbox.prepared(method)))
    for (const method of ["pm_other", "", "constructor", "toString"]) {
      assert.isTrue(Result.isFailure(Sandbox.prepared(method)))
    }
  })

  it.prop(
    "takes money once at most, gives it back once at most, and what it says of a charge is so",
    { method: Schema.Literals(methods), asked: operations },
    ({ asked, method }) => {
      let charge = Sandbox.unconfirmed
      let [taken, returned] = [0, 0]
      for (const operation of asked) {
        const { charge: now, heard } = step(method, charge, operation)
        if (!isTaken(charge) && isTaken(now)) taken++
        if (charge.status !== "Refunded" && now.status === "Refunded") returned++
        if (charge.status === "Cancelled") assert.strictEqual(now.status, "Cancelled")
        if (Result.isSuccess(heard)) assert.strictEqual(heard.success._tag, now.status)
        else if (heard.failure.reason._tag !== "GatewayUnanswered") assert.strictEqual(now.status, charge.status)
        charge = now
      }
      assert.isAtMost(taken, 1)
      assert.isAtMost(returned, taken)
    },
    many
  )
})
