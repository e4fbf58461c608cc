/** A worker whose handlers cannot be made. */
import { Effect } from "effect"
import { Worker } from "paystream"

export const orders = Worker.make("orders", { topic: "orders" }, Effect.fail("no warehouse at this address"))
