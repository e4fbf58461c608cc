/** Every history of jobs passes the contract. */
import { Effect, Layer } from "effect"
import * as MemoryJobHistory from "../../src/layers/memory/MemoryJobHistory.ts"
import * as PostgresJobHistory from "../../src/layers/postgres/PostgresJobHistory.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { suite } from "./JobHistoryContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresJobHistory.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

suite("memory", MemoryJobHistory.layer)
suite("PostgreSQL", postgres)
