/** From the start of the process until the message that waited for it is stored, with the services up. */
import { Effect } from "effect"
import { attempt } from "../BenchmarkError.ts"
import { ended } from "../Contestant.ts"
import { type Contestant, launch } from "./Contestant.ts"
import * as Payments from "./Payments.ts"
import type { Services } from "./Services.ts"
import { untilStored } from "./untilStored.ts"

const pause = 3

/** Milliseconds; up to the pause between two questions too much. */
export const start = Effect.fnUntraced(function* (services: Services, contestant: Contestant) {
  const queue = yield* Payments.freshQueue(services)
  const id = yield* Payments.publish(services, queue, 1)
  const began = performance.now()
  const child = yield* launch(contestant, services, queue, 1)
  yield* attempt("wait for the first message", () => untilStored(services, id, pause))
  const millis = performance.now() - began
  yield* ended(contestant, child)
  yield* Payments.checkExact(services, queue, 1)
  return millis
}, Effect.scoped)
