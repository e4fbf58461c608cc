/** The provider's books on disk: what was committed here is there after a kill, money and answers alike. */
import { DatabaseSync } from "node:sqlite"

export type IntentStatus =
  | "requires_confirmation"
  | "requires_payment_method"
  | "requires_action"
  | "succeeded"
  | "canceled"

export interface Intent {
  readonly id: string
  readonly paymentId: string
  /** As Stripe counts it. */
  readonly amount: number
  readonly currency: string
  readonly paymentMethod: string
  readonly status: IntentStatus
  /** Of a decline. */
  readonly code: string | null
  /** How often it was told to take the money. */
  readonly attempts: number
  /** First to last. */
  readonly refunds: ReadonlyArray<Refund>
}

export type RefundStatus = "pending" | "succeeded" | "failed"

export interface Refund {
  readonly id: string
  readonly status: RefundStatus
}

/** An answer that is given again to whoever uses its key again. */
export interface KeptAnswer {
  /** What was asked, so that another question with the same key is noticed. */
  readonly question: string
  readonly status: number
  readonly body: string
}

export interface Money {
  /** PaymentIntents that were made for it. */
  readonly intents: number
  readonly charges: number
  readonly refunds: number
  readonly charged: number
  readonly refunded: number
}

export type Books = ReturnType<typeof open>

const tables = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS intents (id TEXT PRIMARY KEY, paymentId TEXT NOT NULL, state TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS movements (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, intent TEXT NOT NULL, paymentId TEXT NOT NULL, amount INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL);
`

const report = `
  SELECT paymentId, count(*) AS intents,
    (SELECT count(*) FROM movements m WHERE m.paymentId = i.paymentId AND kind = 'charge') AS charges,
    (SELECT count(*) FROM movements m WHERE m.paymentId = i.paymentId AND kind = 'refund') AS refunds,
    (SELECT coalesce(sum(amount), 0) FROM movements m WHERE m.paymentId = i.paymentId AND kind = 'charge') AS charged,
    (SELECT coalesce(sum(amount), 0) FROM movements m WHERE m.paymentId = i.paymentId AND kind = 'refund') AS refunded
  FROM intents i GROUP BY paymentId`

/** In a file, which is made if it is not there. */
export const open = (file: string) => {
  const database = new DatabaseSync(file)
  database.exec(tables)
  const byId = database.prepare("SELECT state FROM intents WHERE id = ?")
  const byPayment = database.prepare("SELECT state FROM intents WHERE paymentId = ?")
  const returned = database.prepare("DELETE FROM movements WHERE kind = 'refund' AND intent = ?")
  const put = database.prepare("INSERT OR REPLACE INTO intents (id, paymentId, state) VALUES (?, ?, ?)")
  const move = database.prepare("INSERT INTO movements (kind, intent, paymentId, amount) VALUES (?, ?, ?, ?)")
  const byKey = database.prepare("SELECT answer FROM answers WHERE key = ?")
  const keep = database.prepare("INSERT INTO answers (key, answer) VALUES (?, ?)")
  const all = database.prepare(report)

  return {
    /** All of it, or nothing. */
    atOnce: <A>(work: () => A): A => {
      database.exec("BEGIN IMMEDIATE")
      try {
        const result = work()
        database.exec("COMMIT")
        return result
      } catch (error) {
        database.exec("ROLLBACK")
        throw error
      }
    },
    intent: (id: string): Intent | undefined => {
      const row = byId.get(id)
      return row === undefined ? undefined : JSON.parse(String(row["state"]))
    },
    putIntent: (intent: Intent): void => void put.run(intent.id, intent.paymentId, JSON.stringify(intent)),
    ofPayment: (paymentId: string): Intent | undefined => {
      const row = byPayment.get(paymentId)
      return row === undefined ? undefined : JSON.parse(String(row["state"]))
    },
    /** A refund that was said to be done: the payer's bank has sent the money back. */
    takeBack: ({ id }: Intent): void => void returned.run(id),
    moveMoney: (kind: "charge" | "refund", { amount, id, paymentId }: Intent): void =>
      void move.run(kind, id, paymentId, amount),
    answer: (key: string): KeptAnswer | undefined => {
      const row = byKey.get(key)
      return row === undefined ? undefined : JSON.parse(String(row["answer"]))
    },
    keepAnswer: (key: string, answer: KeptAnswer): void => void keep.run(key, JSON.stringify(answer)),
    /** By payment id. */
    money: (): Readonly<Record<string, Money>> =>
      Object.fromEntries(
        all
          .all()
          .map(({ paymentId, ...row }) => [
            String(paymentId),
            Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])) as unknown as Money
          ])
      )
  }
}
