/** The guide to the operator: every command in it is run, in its order, and answers as it shows. */
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, layer } from "@effect/vitest"
import { Effect, Latch } from "effect"
import { jobOf } from "../../src/operator/JobSpec.ts"
import { PaymentJobSpec } from "../../src/operator/PaymentJob.ts"
import { NodeAgent } from "../support/kubernetes/NodeAgent.ts"
import { OperatorPlane } from "../support/OperatorPlane.ts"
import { ended, spec } from "../support/PaymentJobs.ts"
import { playPods, runningPod } from "../support/PlayedPods.ts"
import { commandsOf, firstColumn, operatorGuide as guide, runner, section, textOf } from "../support/Walkthrough.ts"

const result = { stored: 990, duplicates: 7, deadLettered: 3 }

const operatorSources = fileURLToPath(new URL("../../src/operator/", import.meta.url))

/** Every reason that the operator can give. */
const reasons = new Set(
  readdirSync(operatorSources)
    .map((file) => readFileSync(`${operatorSources}${file}`, "utf8"))
    .flatMap((text) => [...text.matchAll(/reason:\s*((?:\|?\s*"\w+"\s*)+)/g)])
    .flatMap(([, words = ""]) => [...words.matchAll(/"(\w+)"/g)].map(([, word = ""]) => word))
)

/** The operators run; what becomes of the workers is played. */
const ground = NodeAgent.layerFor("app.kubernetes.io/name=paymentjob-operator")

layer(ground, { excludeTestServices: true, timeout: "60 seconds" })("The guide to the operator", (it) => {
  it.effect(
    "shows commands that do what it says",
    () =>
      Effect.gen(function* () {
        const text = yield* textOf(guide)
        const runCommand = yield* runner(yield* OperatorPlane)
        const mayEnd = yield* Latch.make(false)
        let pods = 0
        // the first run comes to its end when the guide waits for it, and later ones run on
        yield* playPods(["payments"], () => {
          pods += 1
          const end = Effect.as(mayEnd.await, ended(0, JSON.stringify(result)))
          return pods === 1 ? end : Effect.succeed(runningPod)
        })
        for (const command of commandsOf(text)) {
          if (command.needsNode) continue
          if (command.line.includes("condition=Complete")) yield* mayEnd.open
          yield* runCommand(command)
        }
      }),
    { timeout: 180_000 }
  )

  it.effect("leaves to a node only what a node alone can do", () =>
    Effect.map(textOf(guide), (text) => {
      const left = commandsOf(text).filter(({ needsNode }) => needsNode)
      assert.deepStrictEqual(
        left.filter(({ line }) => !line.includes(" logs ")),
        []
      )
    })
  )

  it.effect("has every command of the README's summary", () =>
    Effect.gen(function* () {
      const lines = commandsOf(yield* textOf(guide)).map(({ line }) => line)
      const summary = commandsOf(section(yield* textOf("README.md"), "In Kubernetes"))
      assert.isAbove(summary.length, 3)
      for (const { line } of summary) assert.include(lines, line)
    })
  )

  it.effect("names every reason, every variable of a worker, and every field", () =>
    Effect.gen(function* () {
      const text = yield* textOf(guide)
      const named = [...section(text, "What its status says").matchAll(/`(\w+)`/g)].map(([, word]) => word)
      assert.deepStrictEqual(
        [...reasons].filter((reason) => !named.includes(reason)),
        []
      )
      const whole = { ...spec, idleTimeoutSeconds: 1 }
      const job = jobOf({ name: "one", namespace: "payments", uid: "1" }, whole, { imagePullPolicy: "Always" })
      const variables = job.spec.template.spec.containers[0]?.env?.map(({ name }) => name) ?? []
      assert.deepStrictEqual(firstColumn(section(text, "Images of your own")).toSorted(), variables.toSorted())
      assert.deepStrictEqual(
        firstColumn(section(text, "The resource")).toSorted(),
        Object.keys(PaymentJobSpec.fields).toSorted()
      )
    })
  )
})
