/**
 * The tables, made and upgraded in order. Every migration only expands: the version before goes on working beside the
 * new one. All pending ones run in one transaction under a lock, so that ten workers may start at once.
 */
import { Array as Arr, Effect } from "effect"
import { Migrator, SqlClient, type SqlError } from "effect/sql"
import * as AuditLogTable from "./AuditLogTable.ts"
import * as CrashMarksTable from "./CrashMarksTable.ts"
import * as DeletedRowsTable from "./DeletedRowsTable.ts"
import * as ErasuresTable from "./ErasuresTable.ts"
import * as FinishedInputsTable from "./FinishedInputsTable.ts"
import * as IdempotencyKeysTable from "./IdempotencyKeysTable.ts"
import * as JobTables from "./JobTables.ts"
import * as OrderReservationsTable from "./OrderReservationsTable.ts"
import * as OutboxTable from "./OutboxTable.ts"
import * as PaymentIntentsTable from "./PaymentIntentsTable.ts"
import * as PaymentsTable from "./PaymentsTable.ts"
import * as ReplayMarksTable from "./ReplayMarksTable.ts"
import * as SandboxChargesTable from "./SandboxChargesTable.ts"
import * as WaitingMessagesTable from "./WaitingMessagesTable.ts"
import * as WeeklyReportsTable from "./WeeklyReportsTable.ts"
import * as WorkerRunsTable from "./WorkerRunsTable.ts"

const table = "paystream_migrations"

const migrations: Record<string, Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient>> = {
  "0001_payments": PaymentsTable.create,
  "0002_finished_inputs": FinishedInputsTable.create,
  "0003_crash_marks": CrashMarksTable.create,
  "0004_waiting_messages": WaitingMessagesTable.create,
  "0005_idempotency_keys": IdempotencyKeysTable.create,
  "0006_pix_audit_log": AuditLogTable.create,
  "0007_dead_letter_replays": ReplayMarksTable.create,
  "0010_outbox": OutboxTable.create,
  "0011_payment_intents": PaymentIntentsTable.create,
  "0012_order_reservations": OrderReservationsTable.create,
  "0013_sandbox_charges": SandboxChargesTable.create,
  "0014_erasures": ErasuresTable.create,
  "0020_worker_runs": WorkerRunsTable.create,
  "0024_payment_refunds": PaymentIntentsTable.addRefundsUnderWay,
  "0025_settled_orders": OrderReservationsTable.indexSettled,
  "0026_worker_run_leavings": WorkerRunsTable.noteLeaving,
  "0030_scheduled_jobs": JobTables.create,
  "0031_deleted_rows": DeletedRowsTable.create,
  "0032_weekly_reports_and_lost_runs": Effect.andThen(WeeklyReportsTable.create, JobTables.countLosses),
  "0033_payment_quarantine": PaymentIntentsTable.addQuarantine,
  "0034_payments_due": PaymentIntentsTable.indexDue
}

const loader = Migrator.fromRecord(migrations)

/** Runs what is pending; gives the names of what was run. */
export const migrate = Effect.map(
  Migrator.make({})({ loader, table }),
  Arr.map(([id, name]) => label(id, name))
)

/** One migration and when it was applied, if it was. */
export interface MigrationStatus {
  readonly name: string
  readonly appliedAt: Date | undefined
}

const label = (id: number, name: string): string => `${String(id).padStart(4, "0")}_${name}`

const applied = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql<{ exists: boolean }>`SELECT to_regclass(${table}) IS NOT NULL AS exists`
  if (!found?.exists) return new Map<string, Date>()
  const rows = yield* sql<{ migration_id: number; name: string; created_at: Date }>`
    SELECT migration_id, name, created_at FROM ${sql(table)}`
  return new Map(rows.map((row) => [label(row.migration_id, row.name), row.created_at]))
})

/** All migrations that this version knows, in order. */
export const status: Effect.Effect<ReadonlyArray<MigrationStatus>, SqlError.SqlError, SqlClient.SqlClient> = Effect.map(
  applied,
  (done) =>
    Object.keys(migrations)
      .sort()
      .map((name) => ({ name, appliedAt: done.get(name) }))
)

/** The names of the migrations that this version needs and the database lacks. */
export const missing = Effect.map(status, (all) =>
  all.filter((one) => one.appliedAt === undefined).map((one) => one.name)
)
