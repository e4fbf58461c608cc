/** How payments are processed, and how far a team has come on its way from synchronous to event-driven. */
import { Duration, Result } from "effect"
import * as Parser from "./Parser.ts"
import { all, type Group, refine, setting } from "./Setting.ts"

/** The way's phases, one flag each: `docs/migration.md`. */
export interface PaymentFlags {
  /** Payments are processed by `--mode=commands`, and not within the request. */
  readonly asyncCommands: boolean
  /** Events are committed with the state that they tell of, and not published afterwards. */
  readonly outbox: boolean
  /** What fails is tried again. */
  readonly retries: boolean
  /** What was finished is undone by itself. */
  readonly compensation: boolean
}

export interface PaymentSettings {
  readonly concurrency: number
  readonly lease: Duration.Duration
  readonly maxRetries: number
  readonly retryDelay: Duration.Duration
  readonly sweepEvery: Duration.Duration
  readonly overdueAfter: Duration.Duration
  readonly giveUpAfter: Duration.Duration
  readonly stuckAfter: Duration.Duration
}

const asyncCommands = setting(Parser.flag, {
  name: "ENABLE_ASYNC_COMMANDS",
  default: "true",
  reason: "A payment is stored and answered with 202, and processed by --mode=commands; false: within the request."
})

const outbox = setting(Parser.flag, {
  name: "ENABLE_OUTBOX_PATTERN",
  default: "true",
  reason: "Events of payments are committed with their state; false: published after the commit, and lost in a crash."
})

const asked: Group<PaymentFlags> = all({
  asyncCommands,
  outbox,
  retries: setting(Parser.flag, {
    name: "ENABLE_RETRY_LOGIC",
    default: "true",
    reason: "What fails at the payment provider is tried again; false: the first failure is dead."
  }),
  compensation: setting(Parser.flag, {
    name: "ENABLE_COMPENSATION",
    default: "true",
    reason: "Money that has to go back goes back by itself; false: it waits for `sagas compensate`."
  })
})

/** Commands go through the outbox: who switches it off processes payments within the request. */
export const paymentFlags: Group<PaymentFlags> = refine(asked, (flags) =>
  flags.asyncCommands && !flags.outbox
    ? Result.fail([
        {
          name: outbox.name,
          got: '"false"',
          takes: `true with ${asyncCommands.name}=true: commands go through the outbox (or ${asyncCommands.name}=false)`
        }
      ])
    : Result.succeed(flags)
)

export const paymentSettings: Group<PaymentSettings> = all({
  concurrency: setting(Parser.integer({ minimum: 1, maximum: 1000, unit: "payments" }), {
    name: "PAYMENT_CONCURRENCY",
    default: "16",
    reason: "Payments processed at the same time: most of it is waiting for the provider, which limits requests."
  }),
  lease: setting(Parser.seconds({ minimum: 1, maximum: 3600 }), {
    name: "PAYMENT_LEASE_SECONDS",
    default: "30",
    reason: "Who works on a payment and was not heard of for so long has died: another takes it up."
  }),
  maxRetries: setting(Parser.integer({ minimum: 0, maximum: 100, unit: "retries" }), {
    name: "PAYMENT_MAX_RETRIES",
    default: "5",
    reason: "A charge that failed so often and once more is given up: the payment fails, and its command is dead."
  }),
  retryDelay: setting(Parser.seconds({ minimum: 0.01, maximum: 3600 }), {
    name: "PAYMENT_RETRY_SECONDS",
    default: "1",
    reason: "Before the second attempt; doubled for each one after. A provider's Retry-After comes first."
  }),
  sweepEvery: setting(Parser.seconds({ minimum: 0.1, maximum: 3600 }), {
    name: "PAYMENT_SWEEP_SECONDS",
    default: "5",
    reason: "How often payments are looked for that nobody is at: in doubt, or left by a crash."
  }),
  overdueAfter: setting(Parser.seconds({ minimum: 0, maximum: 86_400 }), {
    name: "PAYMENT_OVERDUE_SECONDS",
    default: "15",
    reason: "Without news for so long, a payment is taken up: longer than a provider takes to settle what was in doubt."
  }),
  giveUpAfter: setting(Parser.duration(Duration.days(365)), {
    name: "PAYMENT_GIVE_UP_AFTER",
    default: "1 hour",
    reason: "A charge that gets nowhere for so long is given up, whatever became of its command."
  }),
  stuckAfter: setting(Parser.duration(Duration.days(365)), {
    name: "PAYMENT_STUCK_AFTER",
    default: "15 minutes",
    reason: "Somebody is told of a payment that does not get on for so long; it goes on being tried."
  })
})
