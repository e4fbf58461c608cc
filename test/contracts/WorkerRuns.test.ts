/** Runs of payment workers, in memory and in PostgreSQL. */
import { Effect, Layer, Redacted } from "effect"
import * as MemoryPaymentStore from "../../src/layers/memory/MemoryPaymentStore.ts"
import * as PostgresWorkerRuns from "../../src/layers/postgres/PostgresWorkerRuns.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresPaymentStore } from "../support/Services.ts"
import { suite } from "./WorkerRunsContract.ts"

const inPostgres = (options?: { readonly prepare: boolean }) =>
  Layer.unwrap(
    Effect.map(newDatabase, (url) =>
      PostgresWorkerRuns.layer({ address: new URL(Redacted.value(url)).host, migrateOnStart: true }).pipe(
        Layer.provideMerge(postgresPaymentStore(url, options))
      )
    )
  )

suite("memory", MemoryPaymentStore.layer)
suite("PostgreSQL", inPostgres())
suite("PostgreSQL without prepared statements", inPostgres({ prepare: false }))
