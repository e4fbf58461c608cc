/** `sagas list | show | compensate | resume`: what operators see of payments, and do about them. */
import { Array as Arr, Clock, Console, Duration, Effect, Layer, Schema } from "effect"
import { textOf } from "../domain/Money.ts"
import { type Step, steps } from "../domain/PaymentEvent.ts"
import { eventName, wordsOf } from "../domain/PaymentHistory.ts"
import { next, type PaymentCommand } from "../domain/PaymentIntent.ts"
import { isFinal, type PaymentState, type Status, transitions } from "../domain/PaymentState.ts"
import { type Payment, PaymentIntents, type PaymentStep, type PaymentSummary } from "../domain/ports/PaymentIntents.ts"
import type { StoreError } from "../domain/StoreError.ts"
import { isUuid } from "../domain/Uuid.ts"
import * as Settings from "../layers/config/Settings.ts"
import { changeStored } from "../streams/PaymentChanges.ts"
import { PaymentOutlet } from "../streams/PaymentOutlet.ts"
import * as Answer from "./Answer.ts"
import { withServices } from "./CommandServices.ts"
import { databaseOnly } from "./Services.ts"
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

const withPayments = <A, E, R>(
  use: (payments: Settings.PaymentSettings) => Effect.Effect<A, E, R | PaymentIntents | PaymentOutlet>
) =>
  withServices(settings, ({ outbox, paymentIntents }, { payments }) =>
    Effect.provide(use(payments), Layer.merge(paymentIntents, Layer.provide(PaymentOutlet.outbox, outbox)))
  )

/** One that waits for an operator is shown as that. */
const required = "compensation_required"
const statuses: ReadonlyArray<string> = [...Object.keys(transitions), required]
const statusOf = (state: PaymentState): string => (state.isCompensationRequired ? required : state.status)

const reasonOf = ({ failure, isCompensationRequired, quarantine, refundFailures, setAside }: PaymentState) => {
  if (quarantine !== undefined) return `in quarantine: ${quarantine}`
  const refundFailure = isCompensationRequired ? refundFailures.at(-1) : undefined
  return refundFailure === undefined ? (failure ?? setAside) : `refund failed: ${refundFailure}`
}

/** For machines. */
const recordOf = ({ createdAtMillis, id, state, updatedAtMillis }: Payment) => ({
  id,
  status: statusOf(state),
  amount: textOf(state.amount),
  currency: state.currency,
  paymentMethod: state.paymentMethod,
  orderId: state.orderId,
  reference: state.reference,
  createdAt: Answer.instant(createdAtMillis),
  updatedAt: Answer.instant(updatedAtMillis),
  reason: reasonOf(state)
})

/** What there is to know of a payment at a glance. */
const rowOf = ({ id, state, updatedAtMillis }: Payment) => ({
  id,
  status: statusOf(state),
  amount: textOf(state.amount),
  currency: state.currency,
  order: state.orderId,
  reference: state.reference ?? "-",
  since: Answer.instant(updatedAtMillis) ?? "-",
  reason: reasonOf(state) ?? "-"
})

const waitOf = (millis: number): string => Duration.format(Duration.seconds(Math.ceil(millis / 1000)))

/** What happens next, and when. */
const noteOf = (payment: PaymentSummary, now: number, given: Settings.PaymentSettings) => {
  const { id, leaseLeftMillis, postponedMillis, state, updatedAtMillis } = payment
  const age = now - updatedAtMillis
  const untilSwept = Duration.toMillis(given.overdueAfter) - age
  if (isFinal(state)) return undefined
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

const isOf = (status: ReadonlyArray<string>, state: PaymentState): boolean =>
  status.length === 0 || status.includes(statusOf(state))

/** Looked at again beyond those that are not of the statuses asked for: all of theirs may come later. */
const furtherBy = 4

/** The first of these statuses among what `look` finds, of which it looks at more and more. */
const firstOf = Effect.fnUntraced(function* <R>(
  { limit, status }: Pick<Listing, "limit" | "status">,
  look: (limit: number) => Effect.Effect<ReadonlyArray<PaymentSummary>, StoreError, R>
) {
  for (let looked = limit; ; looked *= furtherBy) {
    const found = yield* look(looked)
    const shown = found.filter(({ state }) => isOf(status, state))
    if (shown.length >= limit || found.length < looked) return shown.slice(0, limit)
  }
})

const summaryOf = Effect.fnUntraced(function* (id: string) {
  const payment = yield* (yield* PaymentIntents).find(id)
  return payment === undefined ? [] : [{ ...payment, leaseLeftMillis: 0, postponedMillis: 0 }]
})

/** Those of these statuses that do not get on by themselves, longest first. */
export const stuck = Effect.fnUntraced(function* (
  asked: Pick<Listing, "limit" | "status">,
  { stuckAfter }: Pick<Settings.PaymentSettings, "stuckAfter">
) {
  const intents = yield* PaymentIntents
  return yield* firstOf(asked, (limit) =>
    Effect.flatMap(intents.stuck(stuckAfter, limit), (ids) => Effect.map(Effect.forEach(ids, summaryOf), Arr.flatten))
  )
})

/** The latest of these statuses (all, if none is named), as they are shown. */
export const latest = Effect.fnUntraced(function* (asked: Pick<Listing, "limit" | "status">) {
  const intents = yield* PaymentIntents
  const stored = [...new Set(asked.status.map((one) => (one === required ? "compensating" : one) as Status))]
  return yield* firstOf(asked, (limit) => intents.list(stored, limit))
})

/** Lists payments, latest first, or those that do not get on. */
export const list = Effect.fnUntraced(function* (given: Listing) {
  yield* checkStatuses(given.status)
  yield* withPayments(
    Effect.fnUntraced(function* (payments) {
      const found = yield* given.isStuck ? stuck(given, payments) : latest(given)
      const now = yield* Clock.currentTimeMillis
      const note = (payment: PaymentSummary) => noteOf(payment, now, payments)
      yield* Answer.list(given.json, {
        found,
        record: (payment) => ({ ...recordOf(payment), note: note(payment) }),
        row: (payment) => ({ ...rowOf(payment), note: note(payment) ?? "-" }),
        nothing: "no payments",
        limit: { most: given.limit, which: given.isStuck ? "longest" : "latest" }
      })
    })
  )
})

const found = Effect.fnUntraced(function* (id: string) {
  if (!isUuid(id)) return yield* new WrongUsage({ detail: `${JSON.stringify(id)} is no payment's id` })
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
    return { step, state: stepStateOf(step, state, wasUndone), at: Answer.instant(last?.atMillis) }
  })

const happenedOf = ({ atMillis, event }: PaymentStep) => ({
  at: Answer.instant(atMillis),
  event: eventName(event),
  step: "step" in event ? event.step : undefined,
  what: wordsOf(event)
})

/** Shows a payment: each step, and all that has happened. */
export const show = Effect.fnUntraced(function* (given: { readonly id: string; readonly json: boolean }) {
  const { history, payment } = yield* found(given.id)
  const all = stepsOf(payment.state, history)
  const record = { ...recordOf(payment), steps: all, history: history.map(happenedOf) }
  if (given.json) return yield* Answer.line(record)
  const happened = history.map(happenedOf).map(({ at, what }) => ({ at: at ?? "-", what }))
  const done = all.map((one) => ({ ...one, at: one.at ?? "-" }))
  yield* Console.log([cards([rowOf(payment)]), table(done), table(happened)].join("\n\n"))
})

interface Asked {
  readonly id: string
  readonly json: boolean
}

/** What waits for an operator. */
interface Waiting {
  readonly what: string
  readonly isWaiting: (state: PaymentState) => boolean
  readonly command: PaymentCommand
}

const goOn = Effect.fnUntraced(function* ({ id, json }: Asked, { command, isWaiting, what }: Waiting) {
  const { payment } = yield* found(id)
  if (!isWaiting(payment.state)) {
    const detail = `the ${what} of payment ${id} waits for nobody: the payment is ${payment.state.status}`
    return yield* new UnchangedPayment({ detail })
  }
  yield* withPayments(() => changeStored(id, command))
  const text = "whoever processes payments takes it up within PAYMENT_OVERDUE_SECONDS and a sweep"
  yield* Answer.give(json, { id: payment.id, asked: what }, text)
})

const compensation: Waiting = {
  what: "compensation",
  isWaiting: (state) => state.isCompensationRequired,
  command: { _tag: "ResumeCompensation" }
}

/** Lets a compensation go on that waits for an operator; processes with `--mode=commands` take it up. */
export const compensate = (asked: Asked) => goOn(asked, compensation)

const quarantine: Waiting = {
  what: "quarantine",
  isWaiting: (state) => state.quarantine !== undefined,
  command: { _tag: "LiftQuarantine" }
}

/** Lets a payment go on that is in quarantine; processes with `--mode=commands` take it up. */
export const resume = (asked: Asked) => goOn(asked, quarantine)
