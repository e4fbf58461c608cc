/** Sees to it that a control plane can be started: builds it where it has to be, and says so. */
import { Effect } from "effect"
import { find } from "../servers/KubernetesPrograms.ts"

const variant = process.argv[2] === "node" ? "node" : ""
const outcome = await Effect.runPromise(Effect.result(find(variant)))
if (outcome._tag === "Failure") {
  console.error(outcome.failure.message)
  process.exitCode = 1
}
