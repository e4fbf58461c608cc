/** The audit log in memory, for tests of what is built on the port. */
import { Clock, Duration, Effect, Layer } from "effect"
import type { AuditEntry } from "../../domain/PixHistory.ts"
import { AuditLog } from "../../domain/ports/AuditLog.ts"

const make = (): AuditLog["Service"] => {
  const entries = new Map<string, AuditEntry & { readonly recordedAtMillis: number }>()
  return {
    record: (entry) =>
      Effect.map(Clock.currentTimeMillis, (recordedAtMillis) => {
        if (!entries.has(entry.id)) entries.set(entry.id, { ...entry, recordedAtMillis })
      }),
    history: (transactionId) =>
      Effect.sync(() =>
        [...entries.values()]
          .filter((entry) => entry.transactionId === transactionId)
          .sort((one, other) => one.atMillis - other.atMillis)
          .map(({ recordedAtMillis: _, ...entry }) => entry)
      ),
    forget: (age, limit) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const old = [...entries.values()]
          .slice(0, limit)
          .filter(({ recordedAtMillis }) => recordedAtMillis <= now - Duration.toMillis(age))
        for (const { id } of old) entries.delete(id)
        return old.length
      })
  }
}

/** An empty log of its own for each use of the layer. */
export const layer: Layer.Layer<AuditLog> = Layer.sync(AuditLog, make)
