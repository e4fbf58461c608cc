/** How the outbox is relayed. */
import { Duration } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, setting } from "./Setting.ts"

export interface OutboxSettings {
  readonly maxAttempts: number
  readonly dead: "hold" | "skip"
  readonly retryDelay: Duration.Duration
  readonly poll: Duration.Duration
  readonly lease: Duration.Duration
  readonly batchSize: number
  readonly batchesInFlight: number
  readonly retention: Duration.Duration
  readonly openTransactionWarning: Duration.Duration
}

const rules = {
  maxAttempts: setting(Parser.integer({ minimum: 1, maximum: 1000, unit: "attempts" }), {
    name: "OUTBOX_MAX_ATTEMPTS",
    default: "5",
    reason: "An event that the broker refused so often is dead: no longer tried, until `outbox retry`."
  }),
  dead: setting(Parser.oneOf<"hold" | "skip">({ hold: "hold", skip: "skip" }), {
    name: "OUTBOX_DEAD",
    default: "hold",
    reason:
      "A dead event holds back later ones of its key until `outbox retry` or `outbox skip`; `skip` goes on at once."
  })
}

/** What the commands for operators need to know. */
export const outboxRules: Group<Pick<OutboxSettings, "maxAttempts" | "dead">> = all(rules)

export const outboxSettings: Group<OutboxSettings> = all({
  ...rules,
  retryDelay: setting(Parser.seconds({ minimum: 0.01, maximum: 3600 }), {
    name: "OUTBOX_RETRY_SECONDS",
    default: "2",
    reason: "Before the second attempt; doubled for each one after, at most an hour."
  }),
  poll: setting(Parser.seconds({ minimum: 0.1, maximum: 3600 }), {
    name: "OUTBOX_POLL_SECONDS",
    default: "5",
    reason: "How often to look without being told: what a lost notification or a connection pooler costs at most."
  }),
  lease: setting(Parser.seconds({ minimum: 1, maximum: 600 }), {
    name: "OUTBOX_LEASE_SECONDS",
    default: "5",
    reason: "A relay that was not heard of for so long has died: others take over its share."
  }),
  batchSize: setting(Parser.integer({ minimum: 1, maximum: 10_000, unit: "events" }), {
    name: "OUTBOX_BATCH_SIZE",
    default: "1000",
    reason: "At most this many events are taken, and marked, with one statement; so many may be repeated after a crash."
  }),
  batchesInFlight: setting(Parser.integer({ minimum: 1, maximum: 16, unit: "batches" }), {
    name: "OUTBOX_BATCHES_IN_FLIGHT",
    default: "2",
    reason: "Batches at the same time, of different keys: one is published while another is marked."
  }),
  retention: setting(Parser.duration(Duration.days(3650)), {
    name: "OUTBOX_RETENTION",
    default: "7 days",
    reason: "Published events are kept for so long, to be looked at; then they are removed in small batches."
  }),
  openTransactionWarning: setting(Parser.seconds({ minimum: 1, maximum: 86_400 }), {
    name: "OUTBOX_OPEN_TRANSACTION_SECONDS",
    default: "10",
    reason: "A transaction that may have appended events and is open for longer is told in the log."
  })
})
