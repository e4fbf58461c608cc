/**
 * The tables `payment_intents` and `payment_events`: how each payment stands, and all that has happened to it.
 *
 * Claims are updates that no index knows of, and find their place beside the row: hence the fill factor. Every payment
 * goes through the index of those under way, so vacuum is asked to come early and keep it small.
 *
 * A status can only go where the domain lets it, whichever program writes: the guard is made of `transitions`. A change
 * of those needs a migration that makes it again.
 */
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { isFinal, type Status, transitions } from "../../domain/PaymentState.ts"

const statuses = Object.keys(transitions) as ReadonlyArray<Status>
const first: Status = "requested"

const quoted = (names: ReadonlyArray<Status>): string => names.map((name) => `'${name}'`).join(", ")

/** Payments at their end, and those that should go on by themselves: as indexes say it, so that statements can use them. */
export const ended = `status IN (${quoted(statuses.filter((status) => isFinal({ status })))})`
const goesOn = `status IN (${quoted(statuses.filter((status) => !isFinal({ status })))})`
export const underWay = `${goesOn} AND NOT compensation_required`
/** Of those, the ones whose money may be under way. */
export const unsettled = `status IN (${quoted(["in_doubt", "compensating"])})`
/** Since when a payment should have gone on: nothing is new about it, and it is not postponed any more. */
export const quietSince = "greatest(updated_at, postponed_until)"

const legal = statuses.flatMap((from) => transitions[from].map((to) => `('${from}', '${to}')`)).join(", ")

const makePayments = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE payment_intents (
    id uuid PRIMARY KEY,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    status text NOT NULL DEFAULT ${sql.literal(`'${first}'`)} CHECK (status IN (${sql.literal(quoted(statuses))})),
    idempotency_key text NOT NULL,
    payment_method text NOT NULL,
    order_id text NOT NULL,
    provider_reference text,
    failure text,
    compensation_required boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    lease_token bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_at timestamptz
  ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)`
  yield* sql`CREATE UNIQUE INDEX idx_payment_intents_reference ON payment_intents (provider_reference)
    WHERE provider_reference IS NOT NULL`
  yield* sql`CREATE INDEX idx_payment_intents_key ON payment_intents (idempotency_key)`
  yield* sql`CREATE INDEX idx_payment_intents_created ON payment_intents (created_at, id)`
  yield* sql`CREATE INDEX idx_payment_intents_status ON payment_intents (status, created_at)`
  // What a sweep looks for, and what is to be removed one day.
  yield* sql`CREATE INDEX idx_payment_intents_under_way ON payment_intents (updated_at) WHERE ${sql.literal(underWay)}`
  yield* sql`CREATE INDEX idx_payment_intents_ended ON payment_intents (updated_at) WHERE ${sql.literal(ended)}`
})

const makeHistory = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE payment_events (
    payment_id uuid NOT NULL REFERENCES payment_intents ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    event jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (payment_id, version)
  )`
})

const makeTransitionGuard = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TRIGGER payment_intents_transition BEFORE UPDATE ON payment_intents FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (${sql.literal(legal)}))
    EXECUTE FUNCTION payment_intents_refuse()`
})

// A condition of the trigger and not of its function: what is legal costs no call.
const makeGuard = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE FUNCTION payment_intents_refuse() RETURNS trigger LANGUAGE plpgsql AS ${sql.literal(
    `$$ BEGIN
      RAISE EXCEPTION 'a payment cannot go from % to %', coalesce(OLD.status, 'nothing'), NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'status';
    END $$`
  )}`
  yield* sql`CREATE TRIGGER payment_intents_beginning BEFORE INSERT ON payment_intents FOR EACH ROW
    WHEN (NEW.status <> ${sql.literal(`'${first}'`)}) EXECUTE FUNCTION payment_intents_refuse()`
  yield* makeTransitionGuard
})

/** Migration 11. */
export const create: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  yield* makePayments
  yield* makeHistory
  yield* makeGuard
})

/** Migration 24: a refund may come to nothing after its payment has ended, and takes days; nobody asks all the time. */
export const addRefundsUnderWay: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE payment_intents ADD COLUMN postponed_until timestamptz`
  yield* sql`DROP TRIGGER payment_intents_transition ON payment_intents`
  yield* makeTransitionGuard
})

/** Migration 33: a payment that its process dies of is left alone. */
export const addQuarantine: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE payment_intents ADD COLUMN quarantined boolean NOT NULL DEFAULT false`
})

/** Migration 34: whoever looks for payments that should go on finds those that are due, beside however many that wait. */
export const indexDue: Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const since = sql.literal(`(${quietSince})`)
  yield* sql`CREATE INDEX idx_payment_intents_due ON payment_intents (${since}, id)
    WHERE ${sql.literal(underWay)} AND deleted_at IS NULL`
  yield* sql`CREATE INDEX idx_payment_intents_unsettled ON payment_intents (${since}, id)
    WHERE ${sql.literal(`${underWay} AND ${unsettled}`)} AND deleted_at IS NULL`
  // The version before finds its own as well, only slower.
  yield* sql`DROP INDEX idx_payment_intents_under_way`
})
