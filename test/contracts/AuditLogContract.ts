/** What every implementation of the port promises. */
import { randomUUID } from "node:crypto"
import { assert, layer } from "@effect/vitest"
import { Duration, Effect, type Layer } from "effect"
import type { AuditEntry } from "../../src/domain/PixHistory.ts"
import { AuditLog } from "../../src/domain/ports/AuditLog.ts"

const entry = (transactionId: string, fields: Partial<AuditEntry> = {}): AuditEntry => ({
  id: randomUUID(),
  transactionId,
  action: "pix.payment.settled",
  detail: undefined,
  atMillis: 1_800_000_000_000,
  ...fields
})

const record = (given: AuditEntry) => AuditLog.use((log) => log.record(given))
const history = (transactionId: string) => AuditLog.use((log) => log.history(transactionId))

export const suite = <E>(name: string, implementation: Layer.Layer<AuditLog, E>) =>
  layer(implementation, { excludeTestServices: true })(`The audit log (${name})`, (it) => {
    it.effect("gives back what was recorded, whole", () =>
      Effect.gen(function* () {
        const transactionId = randomUUID()
        const full = entry(transactionId, { action: "any action of théirs", detail: "a 'detail' \\ 😀", atMillis: 1 })
        yield* record(full)
        assert.deepStrictEqual(yield* history(transactionId), [full])
      })
    )

    it.effect("keeps the first entry of an id, whoever records it and however often", () =>
      Effect.gen(function* () {
        const transactionId = randomUUID()
        const first = entry(transactionId)
        const again = { ...first, detail: "again", atMillis: first.atMillis + 1 }
        yield* record(first)
        yield* Effect.forEach([again, first, again], record, { concurrency: 3 })
        assert.deepStrictEqual(yield* history(transactionId), [first])
      })
    )

    it.effect("tells the steps in the order in which they happened, whatever the order of recording", () =>
      Effect.gen(function* () {
        const transactionId = randomUUID()
        const steps = [0, 1, 1, 2, 5].map((at, n) => entry(transactionId, { atMillis: 1000 + at, action: `step ${n}` }))
        const [first, second, third, fourth, fifth] = steps as [
          AuditEntry,
          AuditEntry,
          AuditEntry,
          AuditEntry,
          AuditEntry
        ]
        yield* Effect.forEach([fifth, second, third, first, fourth], record)
        assert.deepStrictEqual(yield* history(transactionId), steps)
      })
    )

    it.effect("knows nothing of a transaction that was never there, and keeps others apart", () =>
      Effect.gen(function* () {
        const transactionId = randomUUID()
        yield* record(entry(transactionId))
        assert.deepStrictEqual(yield* history(`${transactionId}-2`), [])
        assert.strictEqual((yield* history(transactionId)).length, 1)
      })
    )

    it.effect("forgets what was recorded longer ago than an age, whenever it happened, so much at most", () =>
      Effect.gen(function* () {
        const { forget } = yield* AuditLog
        while ((yield* forget(Duration.zero, 1000)) > 0);
        const transactionId = randomUUID()
        const third = entry(transactionId, { atMillis: 2 })
        yield* Effect.forEach(
          [entry(transactionId, { atMillis: 3 }), entry(transactionId, { atMillis: 1 }), third],
          record
        )
        assert.strictEqual(yield* forget(Duration.hours(1), 10), 0)
        assert.strictEqual(yield* forget(Duration.zero, 2), 2)
        assert.deepStrictEqual(yield* history(transactionId), [third])
        assert.strictEqual(yield* forget(Duration.zero, 10), 1)
        assert.strictEqual(yield* forget(Duration.zero, 10), 0)
      })
    )
  })
