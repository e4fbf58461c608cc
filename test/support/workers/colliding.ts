/** Workers that cannot run as they are declared. */
import { Effect } from "effect"
import { Worker } from "paystream"

const nothing = () => Effect.void

export const one = Worker.make("one", { topic: "a.b", groupId: "c" }, nothing)
export const other = Worker.make("other", { topic: "a", groupId: "b.c" }, nothing)
export const letters = Worker.make("letters", { topic: "orders", groupId: "dlq" }, nothing)
export const idle = Worker.make("idle", { topic: "orders", concurrency: 0 }, nothing)
