/** What the status says, for any sight: never backwards, since when, and of what. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { decide } from "../../src/operator/Decision.ts"
import { type PaymentJob, phases } from "../../src/operator/PaymentJob.ts"
import {
  AnySight,
  jobOf,
  later,
  now,
  options,
  quiet,
  quietJob,
  runs,
  settled,
  sightOf,
  step
} from "../support/Sights.ts"

describe("The status", () => {
  it.prop(
    "makes nothing of a spec that it cannot read, and says so",
    { any: AnySight },
    ({ any }) => {
      const { sight } = settled(sightOf({ ...any, isFlawed: true, isDeleting: false, phase: "none", job: null }))
      assert.isUndefined(sight.job)
      assert.strictEqual(
        sight.paymentJob.status.conditions?.find(({ type }) => type === "Stalled")?.reason,
        "SpecInvalid"
      )
    },
    runs
  )

  it.prop(
    "never goes back to an earlier phase, whatever is seen next",
    { sights: Schema.Array(AnySight).check(Schema.isMaxLength(6)) },
    ({ sights }) => {
      let status: PaymentJob["status"] = {}
      const seen = sights.map((any) => {
        const sight = sightOf(any)
        status = settled({ ...sight, paymentJob: { ...sight.paymentJob, status } }).sight.paymentJob.status
        return Math.min(2, phases.indexOf(status.phase ?? "Pending"))
      })
      assert.deepStrictEqual(
        seen,
        seen.toSorted((one, other) => one - other)
      )
    },
    runs
  )

  it("keeps what others say in the conditions", () => {
    const foreign = { type: "Audited", status: "True", reason: "ByHand", message: "seen" } as const
    const sight = sightOf({ ...quiet, phase: "none" })
    const status = { conditions: [foreign] }
    const next = settled({ ...sight, paymentJob: { ...sight.paymentJob, status } }).sight.paymentJob.status
    assert.deepStrictEqual(next.conditions?.at(-1), foreign)
  })

  it("says since when something is so, and not when it was seen again", () => {
    const pending = settled(sightOf(quiet)).sight
    const running = step({ ...pending, job: jobOf({ ...quietJob, active: 1 }) }, later)
    const since = new Map(
      running.paymentJob.status.conditions?.map(({ lastTransitionTime, type }) => [type, lastTransitionTime])
    )
    assert.deepStrictEqual([since.get("Ready"), since.get("Complete")], [later, now])
  })

  it("takes over a new generation after the end without touching anything else", () => {
    const { paymentJob } = settled(sightOf({ ...quiet, job: { ...quietJob, end: "Succeeded" } })).sight
    const edited = {
      ...sightOf({ ...quiet, job: { ...quietJob, end: "Succeeded" } }),
      paymentJob: { ...paymentJob, generation: 2 }
    }
    const [action, ...others] = decide(edited, options)
    assert.deepStrictEqual(others, [])
    assert.isTrue(action?._tag === "PatchStatus" && action.status.observedGeneration === 2)
    assert.isTrue(action?._tag === "PatchStatus" && action.status.phase === "Succeeded")
  })
})
