/** The erasure of a person's data: whose, and what became of it. */

/** How somebody's data is found: by what stands in a personal field, or by an id that others know it by. */
export const subjectKinds = ["payer", "payment", "transaction"] as const
export type SubjectKind = (typeof subjectKinds)[number]

export interface Subject {
  readonly kind: SubjectKind
  readonly value: string
}

/** What stands in the place of a text that was erased. */
export const erased = "[erased]"

/** Names, in small letters, of fields that hold the id of a payment or of a transaction. */
export const idFields: Readonly<Record<SubjectKind, ReadonlyArray<string>>> = {
  payer: [],
  payment: ["id", "paymentid", "payment_id"],
  transaction: ["transactionid", "transaction_id"]
}

/** What became of one table. */
export interface ErasedTable {
  readonly table: string
  /** Rows in which something was erased, or would be. */
  readonly rows: number
  /** Rows that are still needed as they are: of what is under way. */
  readonly left: number
}
