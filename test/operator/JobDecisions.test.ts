/** What is done about Jobs, for any sight: one each, never after an end, and never another's. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { decide } from "../../src/operator/Decision.ts"
import { hasEnded } from "../../src/operator/PaymentJob.ts"
import { isOwn } from "../../src/operator/Sight.ts"
import { AnySight, actionsOf, options, runs, settled, sightOf, uid } from "../support/Sights.ts"

describe("The decision about Jobs", () => {
  it.prop(
    "creates a Job only where none is seen, for a PaymentJob that was read just now, has not ended and stays",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      const creates = decide(sight, options).some(({ _tag }) => _tag === "CreateJob")
      if (creates) assert.isTrue(sight.isLive && sight.job === undefined && !sight.paymentJob.isDeleting)
      if (creates) assert.isFalse(hasEnded(sight.paymentJob.status))
      assert.isAtMost(actionsOf(any).filter(({ _tag }) => _tag === "CreateJob").length, 1)
    },
    runs
  )

  it.prop(
    "never leads from an end to a Job, nor to another end",
    { any: AnySight, end: Schema.Literals(["Succeeded", "Failed"]) },
    ({ any, end }) => {
      const { sight } = settled(sightOf({ ...any, phase: end }))
      assert.strictEqual(sight.paymentJob.status.phase, end)
      assert.strictEqual(sight.job === undefined, any.job === null)
    },
    runs
  )

  it.prop(
    "leaves no Job at work that came after the end",
    { any: AnySight, end: Schema.Literals(["Succeeded", "Failed"]) },
    ({ any, end }) => {
      const { job, paymentJob } = settled(sightOf({ ...any, phase: end })).sight
      const isAtWork = job?.owner?.uid === uid && !job.isDeleting && job.end === undefined && !job.isSuspended
      if (!paymentJob.isDeleting) assert.isFalse(isAtWork)
    },
    runs
  )

  it.prop(
    "resumes only what it has suspended itself, and does not argue",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      for (const action of decide(sight, options))
        if (action._tag === "PatchJob" && (action.patch["spec"] as { suspend?: boolean })?.suspend === false)
          assert.isTrue(sight.job?.isSuspendedByUs)
    },
    runs
  )

  it.prop(
    "touches no Job that another object controls",
    { any: AnySight },
    ({ any }) => {
      const sight = sightOf(any)
      const touched = decide(sight, options).filter(({ _tag }) => _tag === "PatchJob")
      if (!isOwn(sight)) assert.deepStrictEqual(touched, [])
    },
    runs
  )
})
