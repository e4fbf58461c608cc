/** A worker whose keys wait with their messages. */
import { Effect } from "effect"
import { Worker } from "paystream"

export const ledger = Worker.make("ledger", { topic: "entries", ordered: true }, () => Effect.void)
