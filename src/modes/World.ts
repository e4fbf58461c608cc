/** What the parts of a process find around them: one broker, and all stores on one pool of connections. */
import { Layer } from "effect"
import { AuditLog } from "../domain/ports/AuditLog.ts"
import type { Broker } from "../domain/ports/Broker.ts"
import { CrashMarks } from "../domain/ports/CrashMarks.ts"
import { DeletedRows } from "../domain/ports/DeletedRows.ts"
import { FinishedInputs } from "../domain/ports/FinishedInputs.ts"
import { IdempotencyKeys } from "../domain/ports/IdempotencyKeys.ts"
import { JobHistory } from "../domain/ports/JobHistory.ts"
import { Outbox } from "../domain/ports/Outbox.ts"
import { PaymentIntents } from "../domain/ports/PaymentIntents.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import { Reservations } from "../domain/ports/Reservations.ts"
import { WaitingMessages } from "../domain/ports/WaitingMessages.ts"
import { WeeklyReports } from "../domain/ports/WeeklyReports.ts"
import { WorkerRuns } from "../domain/ports/WorkerRuns.ts"
import { noBroker, type ServiceSettings, type Services } from "./Services.ts"

/** What has no use for a part costs it nothing: everything connects when it is first used. */
export type World = Broker | Stores

type Stores =
  | PaymentStore
  | Outbox
  | AuditLog
  | IdempotencyKeys
  | FinishedInputs
  | CrashMarks
  | WaitingMessages
  | PaymentIntents
  | Reservations
  | WorkerRuns
  | JobHistory
  | DeletedRows
  | WeeklyReports

/** In place of a database, where there is none. */
const noDatabase = Layer.mergeAll(
  Layer.mock(PaymentStore, { address: "nowhere" }),
  Layer.mock(Outbox, { address: "nowhere" }),
  Layer.mock(AuditLog, {}),
  Layer.mock(IdempotencyKeys, {}),
  Layer.mock(FinishedInputs, {}),
  Layer.mock(CrashMarks, {}),
  Layer.mock(WaitingMessages, {}),
  Layer.mock(PaymentIntents, {}),
  Layer.mock(Reservations, {}),
  Layer.mock(WorkerRuns, {}),
  Layer.mock(JobHistory, {}),
  Layer.mock(DeletedRows, {}),
  Layer.mock(WeeklyReports, {})
)

const storesOf = (services: Services) =>
  Layer.mergeAll(
    services.paymentStore,
    services.outbox,
    services.auditLog,
    services.idempotencyKeys,
    services.workerStores,
    services.paymentIntents,
    services.reservations,
    services.workerRuns,
    services.jobHistory,
    services.deletedRows,
    services.weeklyReports
  )

/** Built from the last to the first and closed the other way: the broker goes before the database. */
export const world = ({ process }: ServiceSettings, services: Services, usesBroker: boolean) =>
  (usesBroker ? services.broker : noBroker).pipe(
    Layer.provideMerge(process.database === "none" ? noDatabase : storesOf(services))
  )
