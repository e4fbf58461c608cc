/** Every history of jobs passes the contract. */
import { Effect, Layer } from "effect"
import * as MemoryJobHistory from "../../src/layers/memory/MemoryJobHistory.ts"
import * as PostgresJobHistory from "../../src/layers/postgres/PostgresJobHistory.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import * as JobDecisionsContract from "./JobDecisionsContract.ts"
import * as JobHistoryContract from "./JobHistoryContract.ts"
import * as JobHoldersContract from "./JobHoldersContract.ts"
import * as JobsAheadContract from "./JobsAheadContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresJobHistory.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

for (const { suite } of [JobHistoryContract, JobDecisionsContract, JobHoldersContract, JobsAheadContract]) {
  suite("memory", MemoryJobHistory.layer)
  suite("PostgreSQL", postgres)
}
