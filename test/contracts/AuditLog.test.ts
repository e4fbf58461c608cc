/** Every implementation passes the contract. */
import { Effect, Layer } from "effect"
import * as MemoryAuditLog from "../../src/layers/memory/MemoryAuditLog.ts"
import * as PostgresAuditLog from "../../src/layers/postgres/PostgresAuditLog.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { suite } from "./AuditLogContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresAuditLog.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

suite("memory", MemoryAuditLog.layer)
suite("PostgreSQL", postgres)
