import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Result, Schema } from "effect"
import * as Sandbox from "../../src/domain/Sandbox.ts"

const methods = [
  "pm_card_visa",
  "pm_card_chargeDeclined",
  "sandbox_timeout",
  "sandbox_timeout_charged",
  "sandbox_error",
  "sandbox_twice",
  "sandbox_refund_pending",
  "sandbox_refund_fails"
] as const

const operations = ["confirm", "cancel", "look", "refund", "refund again", "look at refund"] as const
type Operation = (typeof operations)[number]
const asked = Arbitrary.array(Arbitrary.schema(Schema.Literals(operations)), { maxLength: 12 })
const many = { arbitrary: { runs: 1000, size: 30 } }

type Answer = Sandbox.SandboxAnswer<{ readonly _tag: string } | undefined>

const step = (method: string, charge: Sandbox.SandboxCharge): Readonly<Record<Operation, () => Answer>> => ({
  confirm: () => Sandbox.confirm(method, charge),
  cancel: () => Sandbox.cancel(charge),
  look: () => Sandbox.look(charge),
  refund: () => Sandbox.refund(method, 1, charge),
  "refund again": () => Sandbox.refund(method, 2, charge),
  "look at refund": () => Sandbox.lookRefund(method, charge)
})

const heardOf = ({ heard }: Answer): string | undefined =>
  Result.match(heard, { onSuccess: (status) => status?._tag, onFailure: ({ reason }) => reason._tag })

const isTaken = ({ status }: Sandbox.SandboxCharge): boolean =>
  ["Charged", "Refunded", "RefundPending", "RefundFailed"].includes(status)

describe("The sandbox", () => {
  it.each<readonly [string, ReadonlyArray<string>, string]>([
    ["pm_card_visa", ["Charged", "Charged"], "Charged"],
    ["pm_card_chargeDeclined", ["Declined", "Declined"], "Declined"],
    ["sandbox_timeout", ["GatewayUnanswered", "GatewayUnanswered"], "Unconfirmed"],
    ["sandbox_timeout_charged", ["GatewayUnanswered", "Charged"], "Charged"],
    ["sandbox_error", ["GatewayAway", "GatewayAway", "GatewayAway"], "Unconfirmed"],
    ["sandbox_twice", ["GatewayAway", "GatewayAway", "Charged"], "Charged"],
    ["sandbox_refund_pending", ["Charged"], "Charged"]
  ])("answers %s with %j, and then it is %s", (method, answers, status) => {
    let charge = Sandbox.unconfirmed
    for (const answer of answers) {
      const next = Sandbox.confirm(method, charge)
      assert.strictEqual(heardOf(next), answer)
      charge = next.charge
    }
    assert.strictEqual(charge.status, status)
  })

  it.each<readonly [string, ReadonlyArray<readonly [Operation, string | undefined]>]>([
    [
      "pm_card_visa",
      [
        ["look at refund", undefined],
        ["refund", "Refunded"],
        ["look at refund", "Refunded"]
      ]
    ],
    [
      "sandbox_refund_pending",
      [
        ["refund", "Pending"],
        ["look at refund", "Pending"],
        ["look at refund", "Refunded"]
      ]
    ],
    [
      "sandbox_refund_fails",
      [
        ["refund", "Pending"],
        ["look at refund", "Pending"],
        ["look at refund", "Failed"],
        ["refund", "Failed"],
        ["refund again", "Refunded"]
      ]
    ]
  ])("gives the money of %s back so: %j", (method, asked) => {
    let { charge } = Sandbox.confirm(method, Sandbox.unconfirmed)
    for (const [operation, heard] of asked) {
      const next = step(method, charge)[operation]()
      assert.strictEqual(heardOf(next), heard)
      charge = next.charge
    }
  })

  it("knows these payment methods and no others", () => {
    for (const method of methods) assert.isTrue(Result.isSuccess(Sandbox.prepared(method)))
    for (const method of ["pm_other", "", "constructor", "toString"]) {
      assert.isTrue(Result.isFailure(Sandbox.prepared(method)))
    }
  })

  it.prop(
    "takes money once at most, gives it back once at most, and what it says of a charge is so",
    { method: Schema.Literals(methods), given: asked },
    ({ given, method }) => {
      let charge = Sandbox.unconfirmed
      let [taken, returned] = [0, 0]
      for (const operation of given) {
        const { charge: now, heard } = step(method, charge)[operation]()
        if (!isTaken(charge) && isTaken(now)) taken++
        if (charge.status !== "Refunded" && now.status === "Refunded") returned++
        if (charge.status === "Cancelled") assert.strictEqual(now.status, "Cancelled")
        const isOfRefund = operation.includes("refund")
        if (Result.isSuccess(heard) && !isOfRefund) {
          assert.strictEqual(
            heard.success?._tag,
            now.status.startsWith("Refund") && now.status !== "Refunded" ? "Charged" : now.status
          )
        }
        if (Result.isSuccess(heard) && heard.success?._tag === "Refunded") assert.strictEqual(now.status, "Refunded")
        if (Result.isFailure(heard) && heard.failure.reason._tag !== "GatewayUnanswered") {
          assert.strictEqual(now.status, charge.status)
        }
        charge = now
      }
      assert.isAtMost(taken, 1)
      assert.isAtMost(returned, taken)
    },
    many
  )
})
