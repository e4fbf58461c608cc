/** `sagas list | show | compensate | resume`: what operators see of payments, and do about them. */
import { Clock, Console, DateTime, Duration, Effect, Layer, Predicate, Schema } from "effect"
import { textOf } from "../domain/Money.ts"
import { type Step, steps } from "../domain/PaymentEvent.ts"
import { wordsOf } from "../domain/PaymentHistory.ts"
import { next, type PaymentCommand } from "../domain/PaymentIntent.ts"
import { isFinal, type PaymentState, type Status, transitions } from "../domain/PaymentState.ts"
import { type Payment, PaymentIntents, type PaymentStep, type PaymentSummary } from "../domain/ports/PaymentIntents.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Logs from "../layers/telemetry/Logs.ts"
import { changeStored } from "../streams/PaymentChanges.ts"
import { PaymentOutlet } from "../streams/PaymentOutlet.ts"
import { databaseOnly, services } from "./Services.ts"
import { cards, table } from "./Table.ts"
import { WrongUsage } from "./WrongUsage.ts"

const settings = Settings.all({
  services: Settings.withDatabaseFor("`sagas`", databaseOnly),
  payments: Settings.paymentSettings,
  log: Settings.logSettings
})

/** There is no such payment, or nothing to do for it. */
export class UnchangedPayment extends Schema.TaggedError<UnchangedPayment>()("UnchangedPayment", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
}

const withPayments = <A, E>(
  use: (payments: Settings.PaymentSettings) => Effect.Effect<A, E, PaymentIntents | PaymentOutlet>
) =>
  Effect.gen(function* () {
    const environment = yield* Settings.environment
    const { log, payments, services: where } = yield* Settings.load(settings, environment)
    const { outbox, paymentIntents } = services(where, { maxConnections: 1, maxBytesInFlight: 0 })
    const world = Layer.merge(paymentIntents, Layer.provide(PaymentOutlet.outbox, outbox))
    return yield* Effect.provide(use(payments), Layer.provideMerge(world, Logs.besideAnswer(log)))
  })

/** One that waits for an operator is shown as that. */
const required = "compensation_required"
const statuses: ReadonlyArray<string> = [...Object.keys(transitions), required]
const statusOf = (state: PaymentState): string => (state.isCompensationRequired ? required : state.status)

const iso = (millis: number): string => DateTime.formatIso(DateTime.makeUnsafe(millis))

/** What there is to know of a payment at a glance. */
const rowOf = ({ id, state, updatedAtMillis }: Payment) => ({
  id,
  status: statusOf(state),
  amount: textOf(state.amount),
  currency: state.currency,
  order: state.orderId,
  reference: state.reference ?? "-",
  since: iso(updatedAtMillis),
  reason: reasonOf(state)
})

const reasonOf = ({ failure, isCompensationRequired, quarantine, refundFailures, setAside }: PaymentState): string => {
  if (quarantine !== undefined) return `in quarantine: ${quarantine}`
  const refundFailure = isCompensationRequired ? refundFailures.at(-1) : undefined
  return refundFailure === undefined ? (failure ?? setAside ?? "-") : `refund failed: ${refundFailure}`
}

const waitOf = (millis: number): string => Duration.format(Duration.seconds(Math.ceil(millis / 1000)))

/** What happens next, and when. */
const noteOf = (payment: PaymentSummary, now: number, given: Settings.PaymentSettings): string => {
  const { id, leaseLeftMillis, postponedMillis, state, updatedAtMillis } = payment
  const age = now - updatedAtMillis
  const untilSwept = Duration.toMillis(given.overdueAfter) - age
  if (isFinal(state)) return "-"
  if (state.quarantine !== undefined) return `\`sagas resume ${id}\``
  if (state.isCompensationRequired) return `\`sagas compensate ${id}\``
  if (leaseLeftMillis > 0) return "worked on now"
  if (postponedMillis > 0) return `the provider is at the refund; asked again within ${waitOf(postponedMillis)}`
  if (age >= Duration.toMillis(given.stuckAfter)) return "STUCK: see `sagas show`"
  if (state.setAside !== undefined) {
    return `its command was set aside: given up by a sweep in ${waitOf(Math.max(0, untilSwept))} if it does not get on`
  }
  return untilSwept > 0
    ? `waits for its command; without it, taken up by a sweep in ${waitOf(untilSwept)}`
    : "taken up by the next sweep"
}

const checkStatuses = (given: ReadonlyArray<string>) => {
  const unknown = given.find((status) => !statuses.includes(status))
  return unknown === undefined
    ? Effect.void
    : new WrongUsage({ detail: `there is no status ${JSON.stringify(unknown)}; there are ${statuses.join(", ")}` })
}

interface Listing {
  readonly status: ReadonlyArray<string>
  readonly isStuck: boolean
  readonly limit: number
  readonly json: boolean
}

/** Those that do not get on by themselves, longest first. */
const stuck = Effect.fnUntraced(function* (limit: number, { stuckAfter }: Settings.PaymentSettings) {
  const intents = yield* PaymentIntents
  const payments = yield* Effect.forEach(yield* intents.stuck(stuckAfter, limit), intents.find)
  return payments
    .filter(Predicate.isNotUndefined)
    .map((payment): PaymentSummary => ({ ...payment, leaseLeftMillis: 0, postponedMillis: 0 }))
})

const isOf = (status: ReadonlyArray<string>, state: PaymentState): boolean =>
  status.length === 0 || status.includes(statusOf(state))

/** Looked at again beyond what a status shares with another one: its payments may all be older. */
const furtherBy = 4

/** The latest of these statuses (all, if none is named), as they are shown. */
export const latest = Effect.fnUntraced(function* ({ limit, status }: Pick<Listing, "limit" | "status">) {
  const intents = yield* PaymentIntents
  const asked = [...new Set(status.map((one) => (one === required ? "compensating" : one) as Status))]
  for (let looked = limit; ; looked *= furtherBy) {
    const found = yield* intents.list(asked, looked)
    const shown = found.filter(({ state }) => isOf(status, state))
    if (shown.length >= limit || found.length < looked) return shown.slice(0, limit)
  }
})

/** Lists payments, latest first, or those that do not get on. */
export const list = Effect.fnUntraced(function* (given: Listing) {
  yield* checkStatuses(given.status)
  yield* withPayments(
    Effect.fnUntraced(function* (payments) {
      const found = yield* given.isStuck ? stuck(given.limit, payments) : latest(given)
      const now = yield* Clock.currentTimeMillis
      const rows = found
        .filter(({ state }) => isOf(given.status, state))
        .map((payment) => ({ ...rowOf(payment), note: noteOf(payment, now, payments) }))
      const which = given.isStuck ? "longest" : "latest"
      yield* Console.log(given.json ? JSON.stringify(rows) : rows.length === 0 ? "no payments" : table(rows))
      if (found.length === given.limit)
        yield* Console.error(`the ${which} ${given.limit}; --limit shows more, if there are`)
    })
  )
})

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const found = Effect.fnUntraced(function* (id: string) {
  if (!uuid.test(id)) return yield* new WrongUsage({ detail: `${JSON.stringify(id)} is no payment's id` })
  return yield* withPayments(() =>
    Effect.gen(function* () {
      const intents = yield* PaymentIntents
      const payment = yield* intents.find(id)
      if (payment === undefined) return yield* new UnchangedPayment({ detail: `there is no payment ${id}` })
      return { payment, history: yield* intents.history(id) }
    })
  )
})

const stepStateOf = (step: Step, state: PaymentState, wasUndone: boolean): string => {
  const wanted = next(state)
  if (state.status === "requested") return "not done"
  if ("step" in wanted && wanted.step === step) return wanted._tag === "Do" ? "under way" : "being undone"
  if (state.finished.includes(step)) return "done"
  if (wasUndone) return "undone"
  return state.status === "in_doubt" && steps[state.finished.length] === step ? "in doubt" : "not done"
}

/** Each step, how it stands, and since when. */
const stepsOf = (state: PaymentState, history: ReadonlyArray<PaymentStep>) =>
  steps.map((step) => {
    const own = history.filter(({ event }) => "step" in event && event.step === step)
    const wasUndone = own.some(({ event }) => event._tag === "StepUndone")
    const last = own.at(-1)
    return { step, state: stepStateOf(step, state, wasUndone), at: last === undefined ? "-" : iso(last.atMillis) }
  })

/** Shows a payment: each step, and all that has happened. */
export const show = Effect.fnUntraced(function* (given: { readonly id: string; readonly json: boolean }) {
  const { history, payment } = yield* found(given.id)
  const happened = history.map(({ atMillis, event }) => ({ at: iso(atMillis), what: wordsOf(event) }))
  const all = stepsOf(payment.state, history)
  if (given.json) return yield* Console.log(JSON.stringify({ ...rowOf(payment), steps: all, history: happened }))
  yield* Console.log([cards([rowOf(payment)]), table(all), table(happened)].join("\n\n"))
})

const goOn = Effect.fnUntraced(function* (
  id: string,
  waiting: { readonly what: string; readonly isWaiting: (state: PaymentState) => boolean },
  command: PaymentCommand
) {
  const { payment } = yield* found(id)
  if (!waiting.isWaiting(payment.state)) {
    const detail = `${waiting.what} of payment ${id} waits for nobody: the payment is ${payment.state.status}`
    return yield* new UnchangedPayment({ detail })
  }
  yield* withPayments(() => changeStored(id, command))
  yield* Console.log("whoever processes payments takes it up within PAYMENT_OVERDUE_SECONDS and a sweep")
})

const compensation = { what: "the compensation", isWaiting: (state: PaymentState) => state.isCompensationRequired }

/** Lets a compensation go on that waits for an operator; processes with `--mode=commands` take it up. */
export const compensate = ({ id }: { readonly id: string }) => goOn(id, compensation, { _tag: "ResumeCompensation" })

const quarantine = { what: "the quarantine", isWaiting: (state: PaymentState) => state.quarantine !== undefined }

/** Lets a payment go on that is in quarantine; processes with `--mode=commands` take it up. */
export const resume = ({ id }: { readonly id: string }) => goOn(id, quarantine, { _tag: "LiftQuarantine" })
