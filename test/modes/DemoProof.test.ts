import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { type Found, proofOf } from "../../src/modes/DemoProof.ts"

const exact: Found = {
  published: { messages: 100, intents: 10 },
  stored: { rows: 100, distinct: 100 },
  inexact: [],
  intents: { paid: 7, failed: 3, inDoubt: 0, open: 0 },
  books: { recorded: "70.00", charged: "70.00", wrong: 0 }
}

const missing = { id: "run-7", times: 0 }
const doubled = { id: "run-8", times: 2 }

const refused: ReadonlyArray<readonly [what: string, change: Partial<Found>, tag: string, says: string]> = [
  [
    "a payment is missing",
    { stored: { rows: 99, distinct: 99 }, inexact: [missing] },
    "NotExact",
    "100 published, but 99 rows of 99 different payments are stored: run-7 is missing"
  ],
  [
    "a payment is doubled",
    { stored: { rows: 101, distinct: 100 }, inexact: [doubled] },
    "NotExact",
    "100 published, but 101 rows of 100 different payments are stored: run-8 is there 2 times"
  ],
  [
    "one is missing and one doubled",
    { stored: { rows: 100, distinct: 99 }, inexact: [missing, doubled] },
    "NotExact",
    "100 rows of 99 different payments are stored: run-7 is missing, run-8 is there 2 times"
  ],
  [
    "many are missing",
    { stored: { rows: 90, distinct: 90 }, inexact: Array(5).fill(missing) },
    "NotExact",
    "run-7 is missing, …"
  ],
  ["a charge has not ended", { intents: { paid: 7, failed: 2, inDoubt: 0, open: 1 } }, "BooksDiffer", "1 still open"],
  ["a charge was never begun", { intents: { paid: 7, failed: 2, inDoubt: 0, open: 0 } }, "BooksDiffer", "of 10 asked"],
  [
    "more was charged",
    { books: { recorded: "70.00", charged: "80.00", wrong: 0 } },
    "BooksDiffer",
    "80.00 BRL charged"
  ],
  [
    "two charges are mixed up",
    { books: { recorded: "70.00", charged: "70.00", wrong: 2 } },
    "BooksDiffer",
    "2 payments"
  ]
]

describe("The proof of a counted demonstration", () => {
  it.effect("says that nothing is lost or doubled, where that is so", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* proofOf(100, exact), [
        "7 paid and 3 failed of 10 asked for through the API; 70.00 BRL recorded, 70.00 BRL charged: none open, none charged twice",
        "100 published, 100 stored: none lost, none doubled"
      ])
    })
  )

  for (const [what, change, tag, says] of refused)
    it.effect(`is not given where ${what}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(proofOf(100, { ...exact, ...change }))
        assert.strictEqual(error._tag, tag)
        assert.include(error.message, says)
      })
    )
})
