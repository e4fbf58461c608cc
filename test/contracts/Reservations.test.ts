/** Every store of reservations passes the contract. */
import { Effect, Layer } from "effect"
import * as MemoryReservations from "../../src/layers/memory/MemoryReservations.ts"
import * as PostgresReservations from "../../src/layers/postgres/PostgresReservations.ts"
import { newDatabase } from "../support/Databases.ts"
import { postgresClient } from "../support/Services.ts"
import { suite } from "./ReservationsContract.ts"

const postgres = Layer.unwrap(
  Effect.map(newDatabase, (url) =>
    PostgresReservations.layer({ address: "the tests' server", migrateOnStart: true }).pipe(
      Layer.provide(postgresClient(url))
    )
  )
)

suite("memory", MemoryReservations.layer)
suite("PostgreSQL", postgres)
