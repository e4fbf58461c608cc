/** The audit log in memory, for tests of what is built on the port. */
import { Effect, Layer } from "effect"
import type { AuditEntry } from "../../domain/PixHistory.ts"
import { AuditLog } from "../../domain/ports/AuditLog.ts"

const make = (): AuditLog["Service"] => {
  const entries = new Map<string, AuditEntry>()
  return {
    record: (entry) =>
      Effect.sync(() => {
        if (!entries.has(entry.id)) entries.set(entry.id, entry)
      }),
    history: (transactionId) =>
      Effect.sync(() =>
        [...entries.values()]
          .filter((entry) => entry.transactionId === transactionId)
          .sort((one, other) => one.atMillis - other.atMillis)
      )
  }
}

/** An empty log of its own for each use of the layer. */
export const layer: Layer.Layer<AuditLog> = Layer.sync(AuditLog, make)
