/** `erase`: rids the tables of a person's data, and says how much there was. */
import { Console, Effect, Option, Schema } from "effect"
import { type ErasedTable, type Subject, subjectKinds } from "../domain/Erasure.ts"
import { PaymentStore } from "../domain/ports/PaymentStore.ts"
import * as Settings from "../layers/config/Settings.ts"
import * as Erasure from "../layers/postgres/Erasure.ts"
import { asStoreError } from "../layers/postgres/SqlState.ts"
import * as Answer from "./Answer.ts"
import { askedBy, withServices } from "./CommandServices.ts"
import type { EraseOptions } from "./EraseCommandLine.ts"
import { databaseOnly } from "./Services.ts"
import { WrongUsage } from "./WrongUsage.ts"

const settings = Settings.all({
  services: Settings.withDatabaseFor("`erase`", databaseOnly),
  fields: Settings.personalFields,
  log: Settings.logSettings
})

type Given = typeof settings extends Settings.Group<infer A> ? A : never

/** Something of what was found is still needed. */
export class NotAllErased extends Schema.TaggedError<NotAllErased>()("NotAllErased", { left: Schema.Int }) {
  override get message(): string {
    const rows = this.left === 1 ? "1 row is" : `${this.left} rows are`
    return `${rows} left: still under way (events to be published, payments that have not ended); erase once more when that is done`
  }
}

const subjectsOf = (options: EraseOptions): ReadonlyArray<Subject> =>
  subjectKinds.flatMap((kind) =>
    Option.match(options[kind], { onNone: () => [], onSome: (value) => [{ kind, value }] })
  )

const sum = (all: ReadonlyArray<ReadonlyArray<ErasedTable>>): ReadonlyArray<ErasedTable> =>
  [...Map.groupBy(all.flat(), (one) => one.table)].map(([name, ones]) => ({
    table: name,
    rows: ones.reduce((total, { rows }) => total + rows, 0),
    left: ones.reduce((total, { left }) => total + left, 0)
  }))

const elsewhere =
  "not reached: messages and dead letters in the broker (`dlq show`, see docs/retention.md), logs, back-ups, the payment provider"

const print = Effect.fnUntraced(function* ({ dryRun, json }: EraseOptions, tables: ReadonlyArray<ErasedTable>) {
  if (json) return yield* Answer.line({ dryRun, tables })
  const done = dryRun ? "would be erased" : "erased"
  yield* Console.log(
    yield* Answer.fitted(tables.map(({ left, rows, table: name }) => ({ table: name, [done]: rows, left })))
  )
  yield* Console.log(elsewhere)
})

const eraseAll = Effect.fnUntraced(function* (
  options: EraseOptions,
  subjects: ReadonlyArray<Subject>,
  by: string,
  { fields, services: { postgres } }: Given
) {
  const one = Effect.fnUntraced(function* (subject: Subject) {
    const tables = yield* Erasure.erase({ subject, fields, isDryRun: options.dryRun })
    if (!options.dryRun) yield* Erasure.record(subject, by, tables)
    return tables
  })
  const address = postgres?.address ?? "the embedded server"
  yield* (yield* PaymentStore).prepare
  const found = sum(yield* Effect.mapError(Effect.forEach(subjects, one), asStoreError(address)))
  yield* print(options, found)
  const left = found.reduce((total, each) => total + each.left, 0)
  if (left > 0 && !options.dryRun) return yield* new NotAllErased({ left })
})

/** Erases a person's data, and notes that it was done. */
export const erase = Effect.fnUntraced(function* (options: EraseOptions) {
  const subjects = subjectsOf(options)
  if (subjects.length === 0)
    return yield* new WrongUsage({ detail: "name whose data: --payer, --payment or --transaction" })
  const by = yield* askedBy(options.by)
  yield* withServices(settings, ({ paymentStore }, given) =>
    Effect.provide(eraseAll(options, subjects, by, given), paymentStore)
  )
})
