/** What a counted demonstration has shown at its end: nothing lost, nothing doubled, and money recorded as it was charged. */
import { Effect, Schema } from "effect"
import * as DemoBooks from "./DemoBooks.ts"
import type { Published } from "./DemoTraffic.ts"

/** Not every payment is in the table exactly once. */
export class NotExact extends Schema.TaggedError<NotExact>()("NotExact", {
  published: Schema.Int,
  rows: Schema.Int,
  distinct: Schema.Int,
  /** The first of those that are missing or doubled. */
  inexact: Schema.Array(Schema.Struct({ id: Schema.String, times: Schema.Int }))
}) {
  override get message(): string {
    const named = this.inexact.map(({ id, times }) =>
      times === 0 ? `${id} is missing` : `${id} is there ${times} times`
    )
    const which = [...named, ...(named.length < DemoBooks.namedAtMost ? [] : ["…"])].join(", ")
    return `${this.published} published, but ${this.rows} rows of ${this.distinct} different payments are stored: ${which}`
  }
}

/** Payments and the sandbox do not agree on what was charged, or some payments have not ended. */
export class BooksDiffer extends Schema.TaggedError<BooksDiffer>()("BooksDiffer", { detail: Schema.String }) {
  override get message(): string {
    return this.detail
  }
}

/** What a run has published, and what became of it. */
export interface Found {
  readonly published: Published
  readonly stored: Effect.Success<ReturnType<typeof DemoBooks.storedOf>>
  readonly inexact: ReadonlyArray<DemoBooks.Inexact>
  readonly intents: DemoBooks.IntentCounts
  readonly books: Effect.Success<ReturnType<typeof DemoBooks.booksOf>>
}

const proofOfMoney = ({ books, intents, published }: Found): Effect.Effect<string, BooksDiffer> => {
  const { failed, open, paid } = intents
  const ended = `${paid} paid and ${failed} failed of ${published.intents} asked for through the API`
  const money = `${books.recorded} BRL recorded, ${books.charged} BRL charged`
  const differ = (detail: string) => Effect.fail(new BooksDiffer({ detail }))
  if (open > 0 || paid + failed !== published.intents) return differ(`${ended}, ${open} still open`)
  if (books.wrong > 0 || books.charged !== books.recorded) return differ(`${money}; ${books.wrong} payments differ`)
  return Effect.succeed(`${ended}; ${money}: none open, none charged twice`)
}

/** The proof in words, for a run of so many messages; without one, the error that says what is missing or doubled. */
export const proofOf = Effect.fnUntraced(function* (count: number, found: Found) {
  const { inexact, published, stored } = found
  if (stored.rows !== count || stored.distinct !== count || inexact.length > 0) {
    return yield* new NotExact({ published: published.messages, ...stored, inexact })
  }
  return [yield* proofOfMoney(found), `${count} published, ${stored.rows} stored: none lost, none doubled`]
})
